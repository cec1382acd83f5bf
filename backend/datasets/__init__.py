"""Images, label sets and annotations as agents describe and send them."""
