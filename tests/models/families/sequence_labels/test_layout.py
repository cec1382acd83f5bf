from pathlib import Path

from models.examples import Example, Split
from models.families.sequence_labels.layout import (
    TokenSpan,
    Type,
    choose_granularity,
    choose_layers,
    in_tokens,
    tags,
    typed,
    usable_spans,
)
from models.labels import Label, LabelSchema, Medium, Objective
from models.regions import Span
from models.token_features import MAX_WINDOW, Granularity, tokenize

SCHEMA = LabelSchema(Objective.SPANS, (Label("person"), Label("place")), Medium.TEXT)


def test_spans_are_clipped_to_the_text_and_blank_ones_skipped_with_a_line_in_the_log() -> None:
    spans = (Span("person", -3, 3), Span("place", 4, 99), Span("place", 3, 4), Span("place", 50, 60), Span("dog", 0, 3))
    lines: list[str] = []

    usable = usable_spans(Example("t1", Path("t1"), spans, Split.TRAIN), "Ann Rome", SCHEMA, log=lines.append)

    assert usable == [Span("person", 0, 3), Span("place", 4, 8)]
    assert len(lines) == 2
    assert "between 3 and 4" in lines[0]


def test_tokens_are_as_small_as_the_spans_need() -> None:
    text = "room12 東京 unbelievable"

    assert choose_granularity([text], [[Span("place", 0, 6), Span("place", 7, 8)]]) is Granularity.WORDS
    assert choose_granularity([text], [[Span("place", 4, 6)]]) is Granularity.PIECES
    assert choose_granularity([text], [[Span("place", 10, 12)]]) is Granularity.CHARACTERS
    assert choose_granularity([text, text], [[], []]) is Granularity.WORDS


def test_a_span_that_ends_within_a_token_has_all_of_it_and_the_same_span_counts_once() -> None:
    tokens = tokenize("Ann Lee ran", Granularity.WORDS)

    found = in_tokens(tokens, [Span("person", 0, 6), Span("person", 0, 7), Span("place", 4, 8)])

    assert found == [TokenSpan("person", 0, 2), TokenSpan("place", 1, 2)]


def test_of_spans_of_one_label_that_overlap_the_inner_one_lies_deeper() -> None:
    spans = [TokenSpan("place", 0, 4), TokenSpan("place", 2, 3), TokenSpan("place", 3, 6), TokenSpan("place", 6, 7)]

    assert [kind.depth for kind, _ in typed(spans)] == [0, 1, 1, 0]


def test_labels_share_a_layer_unless_they_overlap() -> None:
    person, place, deeper = Type("person", 0), Type("place", 0), Type("place", 1)
    apart = [(person, TokenSpan("person", 0, 2)), (place, TokenSpan("place", 2, 3))]
    within = [(person, TokenSpan("person", 0, 4)), (place, TokenSpan("place", 1, 2))]
    nested = [(place, TokenSpan("place", 0, 4)), (deeper, TokenSpan("place", 1, 2))]

    assert choose_layers([apart], SCHEMA) == [[person, place]]
    assert choose_layers([apart, within], SCHEMA) == [[person], [place]]
    assert choose_layers([apart, nested], SCHEMA) == [[place, person], [deeper]]
    assert choose_layers([], SCHEMA) == [[]]


def test_tags_say_where_spans_begin_and_go_on() -> None:
    tokens = tokenize("Ann Lee saw New York", Granularity.WORDS)
    person, place = Type("person", 0), Type("place", 0)
    spans = [(person, TokenSpan("person", 0, 2)), (place, TokenSpan("place", 3, 5))]

    assert tags(tokens, spans, [person, place]).tolist() == [1, 2, 0, 3, 4]
    assert tags(tokens, spans, [place]).tolist() == [0, 0, 0, 1, 2]


def test_a_span_across_windows_begins_anew_in_the_next() -> None:
    tokens = tokenize("x " * (MAX_WINDOW + 10), Granularity.WORDS)
    place = Type("place", 0)

    tag = tags(tokens, [(place, TokenSpan("place", MAX_WINDOW - 2, MAX_WINDOW + 2))], [place])

    assert tag[MAX_WINDOW - 3 : MAX_WINDOW + 3].tolist() == [0, 1, 2, 1, 2, 0]
