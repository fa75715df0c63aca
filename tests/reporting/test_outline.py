from __future__ import annotations

from reporting import outline


def test_nested_values_become_rows_with_their_path() -> None:
    """Dots for keys, brackets for places in a list; lists of scalars are one value."""
    data = {"a": {"b": [{"c": 1}, {"c": None}], "d": ["x", "y"]}, "e": {}, "f": []}

    expected = [
        ("a.b[0].c", "1"),
        ("a.b[1].c", "null"),
        ("a.d", '["x", "y"]'),
        ("e", "{}"),
        ("f", "[]"),
    ]

    assert expected == list(outline.rows(data))


def test_sections_follow_the_top_level_keys() -> None:
    """Plain values come first, without a heading."""
    data = {"host": {"cores": 32}, "schema": 1, "ok": True, "name": "é"}

    expected = [
        ("", [("schema", "1"), ("ok", "true"), ("name", "é")]),
        ("host", [("cores", "32")]),
    ]

    assert expected == outline.sections(data)
    assert [("host", [("cores", "32")])] == outline.sections({"host": {"cores": 32}})
