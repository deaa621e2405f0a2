"""Tables at any width: numbers and words stay whole, and what a narrow terminal leaves out is what matters least."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsv4recipe.cli.tables import print_table

COLUMNS = ("role", "format", "tensors", "bytes")
ROWS = (("routed-expert", "affine 4-bit g32", "33,792", "177,167,400,960"), ("norm", "F16", "242", "936,192"))


def printed(capsys: pytest.CaptureFixture[str], width: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        print_table(COLUMNS, ROWS, (2, 3), optional=("tensors",))
    return capsys.readouterr().out


def test_wide_terminal_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "33,792" in printed(capsys, 80)


def test_narrow_terminal_leaves_out_the_optional_column(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, 52)
    assert "33,792" not in out
    assert "affine 4-bit g32" in out


@given(width=st.integers(20, 100))
def test_no_number_and_no_word_is_split(width: int) -> None:
    import contextlib
    import io

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setenv("COLUMNS", str(width))
        print_table(COLUMNS, ROWS, (2, 3), optional=("tensors",))
    words = out.getvalue().split()
    for row in ROWS:
        for word in (row[0], *row[1].split(), row[3]):
            assert word in words
