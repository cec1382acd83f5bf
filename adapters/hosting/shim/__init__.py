"""A folder for sys.path of a hosted model's process: what it imports as `label_studio_ml` lies here.

Nothing in it imports Tandem, so that a model may have packages called `models` or `backend` of its own.
"""
