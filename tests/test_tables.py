"""Tables as people have them: nothing is cut, swallowed, merged or dropped without a word."""

from __future__ import annotations

import csv
import io
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferlib as tl
from transferlib.data.own.texts import Row, cells, groups_of, labelled_texts, unlabelled, utf8
from transferlib.errors import DataError, TransferError

ROWS = [(("late", "billing", "praise")[i % 3], f"letter {i} of somebody") for i in range(30)]


def written(rows, header=("label", "text"), separator=",", end="\n"):
    """A table as people type it: without any quotation marks."""
    return "".join(separator.join(map(str, row)) + end for row in [header, *rows])


def load(tmp_path, content, name="letters.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tl.load_data("texts", path=path, **options)


def all_texts(splits):
    return {text for part in (splits.train, splits.val, splits.test) for text in part.texts}


def labels_of(splits):
    """The label of each text, wherever it is."""
    parts = (splits.train, splits.val, splits.test)
    return {t: splits.classes[k] for p in parts for t, k in zip(p.texts, p.labels.tolist(), strict=True)}


def reason(tmp_path, content, **options):
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, **options)
    return str(caught.value)


# Rows


CUT = {
    "a comma in a text": "refund,late, please refund",
    "a text of three parts": "refund,a,b,c",
    "a comma at the end of a text": "refund,please refund,",
    "a comma in front of a text": "refund,,please refund",
    "no text at all": "refund",
}


@pytest.mark.parametrize("row", CUT.values(), ids=CUT)
def test_a_row_with_more_or_fewer_cells_than_the_header_is_refused_by_line(row, tmp_path):
    lines = written(ROWS).splitlines()
    told = reason(tmp_path, "\n".join([*lines[:4], row, *lines[4:]]), on_bad="skip")
    assert f"has 2 columns, but line 5 has {row.count(',') + 1}, {row[:60]!r}. A comma inside a text" in told


def test_with_the_text_first_no_fragment_becomes_a_label(tmp_path):
    rows = [(text, label) for label, text in ROWS]
    content = written(rows, ("text", "label")) + "late, please refund,billing\n"
    assert "line 32 has 3" in reason(tmp_path, content)


def test_of_many_ragged_rows_the_first_are_named_and_all_are_counted(tmp_path):
    told = reason(tmp_path, written([*ROWS, *[("late", "a,b")] * 5]))
    assert "line 32" in told and "line 34" in told and "line 35" not in told and "2 more" in told


def test_a_surplus_tab_is_refused_by_line(tmp_path):
    content = written(ROWS, separator="\t") + "late\ta\tb\n"
    told = reason(tmp_path, content, name="letters.tsv")
    assert "line 32 has 3" in told and "A tab inside a text must be taken out" in told


def test_columns_without_a_name_may_be_empty_and_hold_nothing_that_was_cut(tmp_path):
    rows = [(*row, "", "") for row in ROWS]
    assert all_texts(load(tmp_path, written(rows, ("label", "text", "", "")))) == {text for _, text in ROWS}
    rows[7] = ("late", "half of it", "the other half", "")
    assert "line 9 has 4" in reason(tmp_path, written(rows, ("label", "text", "", "")))


def test_empty_rows_are_no_rows(tmp_path):
    content = "\n" + written(ROWS) + "\n,\n  , \n\n"
    assert len(all_texts(load(tmp_path, content))) == 30


def swallowed(header, opened, closed):
    """A table of rows of all labels, and two rows more: in one a quotation mark opens, in the other it closes."""
    index = header.index("text")

    def row(text, label):
        return tuple({"text": text, "label": label, "id": "7"}[column] for column in header)

    good = [row(text, label) for label, text in ROWS]
    lines = written([*good, row(opened, "late"), row("where is it", "billing"), row(closed, "praise")], header)
    return lines, index


@pytest.mark.parametrize("header", [("label", "text"), ("text", "label"), ("id", "text", "label")])
@pytest.mark.parametrize("closed", ['he said "no"', "there is my money"])
def test_a_stray_quotation_mark_swallows_no_row(header, closed, tmp_path):
    content, _ = swallowed(header, '"I want my money', closed)
    assert "line 32" in reason(tmp_path, content)
    content, _ = swallowed(header, '"I want my money', closed + '"')
    assert "line" in reason(tmp_path, content)


def test_the_lines_that_a_stray_quotation_mark_holds_together_are_named(tmp_path):
    content, _ = swallowed(("label", "text"), '"I want my money', 'where it is"')
    told = reason(tmp_path, content)
    assert "lines 32 to 34 are one text by a quotation mark, but lines 32 and 33 look like rows" in told


def test_a_text_of_several_lines_is_a_text(tmp_path):
    letter = "Dear Sir,\nlate, as ever, comes my letter.\nYours,\nbilling\n\nA, B"
    for header in (("label", "text"), ("text", "label"), ("id", "text", "label")):
        out = io.StringIO()
        rows = [("late", letter), *ROWS, ("billing", f"{letter}!")]
        table = [{"id": i, "label": label, "text": text} for i, (label, text) in enumerate(rows)]
        writer = csv.DictWriter(out, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
        found = labels_of(load(tmp_path, out.getvalue()))
        assert found[letter] == "late" and found[f"{letter}!"] == "billing" and len(found) == 32


def test_a_quotation_mark_that_is_not_doubled_is_refused_by_line(tmp_path):
    assert "line 32" in reason(tmp_path, written([*ROWS, ("late", '"Never" he said')]))
    assert 'a 5" pipe' in all_texts(load(tmp_path, written([*ROWS, ("late", 'a 5" pipe')])))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(lambda s: f"a{s}b"), min_size=1
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_a_csv_writer_writes_is_read_back_with_its_line(written, separator, end):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("label", "text"), *(("x", text) for text in written)])
    found = cells(out.getvalue(), "t", ("label", "text"))
    assert [row for _, row in found] == [["x", text] for text in written]
    lines = list(io.StringIO(out.getvalue(), newline=""))
    assert all(lines[line - 1].startswith('"x"') for line, _ in found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text("ab,;\t\"'\n\r|", max_size=60).map(str.encode))
def test_no_bytes_end_in_anything_but_rows_or_one_error(content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = cells(utf8(b"label,text\n" + content, "t"), "t", ("label", "text"))
        except DataError:
            return
    assert all(len(row) == 2 for _, row in found)


# Headers, separators, encodings


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["letters.csv", "letters.tsv", "letters.txt", "letters"])
def test_what_separates_the_columns_is_seen_from_the_header(separator, name, tmp_path):
    rows = [(label, f"{text}, in any case") for label, text in ROWS] if separator != "," else ROWS
    found = labels_of(load(tmp_path, written(rows, separator=separator), name=name))
    assert found == {text: label for label, text in rows}


@pytest.mark.parametrize("header", [("Label", "TEXT"), (" label ", "text"), ('"label"', '"text"')])
def test_a_header_may_be_written_in_capitals_spaces_and_quotation_marks(header, tmp_path):
    assert load(tmp_path, written(ROWS, header)).classes == ("billing", "late", "praise")


def test_two_columns_of_one_name_are_refused(tmp_path):
    rows = [(*row, "other") for row in ROWS]
    assert "2 columns called 'text'" in reason(tmp_path, written(rows, ("label", "text", "text")))
    assert load(tmp_path, written(rows, ("label", "text", "note")))


def test_a_table_without_a_header_says_what_its_first_line_names(tmp_path):
    told = reason(tmp_path, written(ROWS[1:], header=ROWS[0], separator="\t"), name="letters.tsv")
    assert "no column 'label'; its first line names: late, letter 0 of somebody" in told


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_end_of_line_are_no_part_of_a_text(mark, end, tmp_path):
    splits = load(tmp_path, mark + written(ROWS, end=end).encode())
    assert labels_of(splits) == {text: label for label, text in ROWS}


ENCODINGS = {"latin-1": (32, "0xfc"), "cp1252": (32, "0xfc"), "mac-roman": (32, "0x9f"), "utf-16": (1, "0xff")}


@pytest.mark.parametrize(("encoding", "where"), ENCODINGS.items())
def test_another_encoding_is_refused_with_the_line_and_the_remedy(encoding, where, tmp_path):
    told = reason(tmp_path, written([*ROWS, ("late", "Grüße")]).encode(encoding))
    assert f"line {where[0]}: the byte {where[1]}" in told and "CSV UTF-8" in told


def test_a_zero_byte_and_a_spreadsheet_are_no_table(tmp_path):
    assert "line 2: the byte 0x00 after 'la' is" not in reason(tmp_path, b"label,text\na\0b,c\n")
    assert "line 2: the byte 0x00, after 'a', is not UTF-8" in reason(tmp_path, b"label,text\na\0b,c\n")
    assert "not UTF-8" in reason(tmp_path, b"PK\x03\x04\x14\x00\x06\x00\x9f\xff", name="letters.xlsx")


# Labels and texts


def test_labels_in_two_unicode_forms_are_one_class_and_that_is_said(tmp_path):
    rows = [*ROWS, *[(("Käfer", "Ka\u0308fer")[i % 2], f"beetle {i}") for i in range(6)]]
    with pytest.warns(UserWarning, match=r"'Ka\\u0308fer' and 'K\\xe4fer' are one class"):
        splits = load(tmp_path, written(rows))
    assert splits.classes == ("Käfer", "billing", "late", "praise")
    path = tmp_path / "new.csv"
    path.write_text(written([("Ka\u0308fer", "a beetle")]), encoding="utf-8")
    with pytest.warns(UserWarning, match="flattered"):
        assert labelled_texts(path, splits.classes, text="text", label="label").labels.tolist() == [0]
    with pytest.warns(UserWarning, match="flattered"):  # what a model was saved with is compared in the same form
        assert labelled_texts(path, ("a", "Ka\u0308fer"), text="text", label="label").labels.tolist() == [1]


def test_labels_that_differ_in_capitals_are_two_classes_and_that_is_said(tmp_path):
    rows = [*ROWS, *[("Late", f"later {i}") for i in range(6)]]
    with pytest.warns(UserWarning, match="'Late' and 'late' are 2 classes, and look alike"):
        assert len(load(tmp_path, written(rows)).classes) == 4


@pytest.mark.parametrize("other", ["l\u0430te", "late\u200b", "LATE", "late.", "'late'"])
def test_labels_that_read_alike_are_pointed_out(other, tmp_path):
    with pytest.warns(UserWarning, match="are 2 classes, and look alike"):
        assert len(load(tmp_path, written([*ROWS, *[(other, f"later {i}") for i in range(6)]])).classes) == 4


def test_a_label_that_programs_write_for_nothing_is_pointed_out(tmp_path):
    with pytest.warns(UserWarning, match="'NaN' may stand for no label at all"):
        assert "NaN" in load(tmp_path, written([*ROWS, *[("NaN", f"later {i}") for i in range(6)]])).classes


@pytest.mark.parametrize("cell", ["nan", "#NAME?", "None"])
def test_a_text_that_programs_write_for_nothing_is_pointed_out(cell, tmp_path):
    with pytest.warns(UserWarning, match=f"'{re.escape(cell)}' may stand for no label at all, or for no text"):
        load(tmp_path, written([*ROWS, ("late", cell), ("late", cell)]))


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\u00a0\u200d "])
def test_a_text_of_letters_that_nobody_sees_is_no_text(text, tmp_path):
    assert "1 row without a label or without a text: line 32" in reason(tmp_path, written([*ROWS, ("late", text)]))


@pytest.mark.parametrize("text", ["cafÃ© au lait", "itâ€™s late", "caf\ufffd"])
def test_texts_that_another_encoding_has_spoilt_are_pointed_out(text, tmp_path):
    with pytest.warns(UserWarning, match="1 text with letters that another encoding has spoilt: line 32"):
        load(tmp_path, written([*ROWS, ("late", text)]))


@pytest.mark.parametrize("header", ["\ufefflabel,text", "label\u200b,te\u00adxt"])
def test_letters_that_nobody_sees_are_no_part_of_a_column_s_name(header, tmp_path):
    content = written(ROWS).partition("\n")[2]
    assert len(all_texts(load(tmp_path, b"\xef\xbb\xbf" + f"{header}\n{content}".encode()))) == len(ROWS)


def test_a_column_that_divides_the_rows_is_not_passed_over_in_silence(tmp_path):
    rows = [(("train", "train", "Test", "")[i % 4], *row) for i, row in enumerate(ROWS)]
    with pytest.warns(UserWarning, match=r"its column 'fold' names parts, .*'Test'; 'train', and is not heeded"):
        load(tmp_path, written(rows, ("fold", "label", "text")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "train" alone may be a topic; and a row may lack the columns without a name
        load(
            tmp_path, written([(("train", "bus")[i % 2], *row) for i, row in enumerate(ROWS)], ("by", "label", "text"))
        )
        load(tmp_path, written([*ROWS[:-1], (*ROWS[-1], "", "")], ("label", "text", "", "")))


@pytest.mark.parametrize("column", ["user name", "mrn", "Case", "id", "Patienten-ID"])
def test_columns_that_say_what_belongs_together_are_known_by_many_names(column, tmp_path):
    rows = [(i // 3, *row) for i, row in enumerate(ROWS)]
    with pytest.warns(UserWarning, match=r"names 10 for 30 rows.*--groups ('user name'|[\w-]+) in the terminal"):
        load(tmp_path, written(rows, (column, "label", "text")))


def test_the_column_of_the_labels_is_no_id_whatever_it_is_called(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path, written(ROWS, ("case", "text")), label="case")


def test_rows_without_a_group_are_told_when_groups_are_given(tmp_path):
    rows = [(i // 3 if i % 5 else "", *row) for i, row in enumerate(ROWS)]
    with pytest.warns(
        UserWarning, match="6 rows without 'who', each a group of its own: line 2; line 7; line 12; and 3"
    ):
        load(tmp_path, written(rows, ("who", "label", "text")), groups="who")


def test_a_text_too_long_to_be_one_is_not_blamed_on_a_quotation_mark_alone(tmp_path):
    assert "Shorten that text, if it is one" in reason(tmp_path, written([*ROWS, ("late", "word " * 40_000)]))


def test_lines_of_an_old_mac_are_several_texts(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one thing\rtwo things\r\nthree\n")
    assert [row["text"] for row in unlabelled(str(tmp_path / "a.txt"), "text")] == ["one thing", "two things", "three"]


def test_utf_16_is_refused_with_its_own_remedy(tmp_path):
    assert "iconv -f UTF-16" in reason(tmp_path, written(ROWS).encode("utf-16"))


def test_evaluation_leaves_out_what_training_left_out(tmp_path):
    path = tmp_path / "rare.csv"
    path.write_text(written([*ROWS, ("rare", "once")]), encoding="utf-8")
    classes = ("billing", "late", "praise")
    with pytest.raises(DataError, match=r"1 class that the model does not know: 'rare'. It knows 'billing'"):
        labelled_texts(path, classes, text="text", label="label")
    with pytest.warns(UserWarning, match="left out 1 class that the model does not know"):
        assert len(labelled_texts(path, classes, text="text", label="label", on_bad="skip")) == len(ROWS)


def test_spaces_around_and_inside_make_no_other_label(tmp_path):
    rows = [(f" {label}\u00a0 now" if i % 2 else f"{label} now ", text) for i, (label, text) in enumerate(ROWS)]
    assert load(tmp_path, written(rows)).classes == ("billing now", "late now", "praise now")


def test_a_class_that_cannot_be_in_every_split_is_refused_or_left_out_with_a_word(tmp_path):
    content = written([*ROWS, ("rare", "once"), ("scarce", "twice"), ("scarce", "TWICE"), ("scarce", "more")])
    told = reason(tmp_path, content)
    assert "2 classes too small to be in every split (3 unrelated texts needed): 'rare' has 1 unrelated text;" in told
    assert "'scarce' has 2 unrelated texts" in told and "--on-bad skip" in told
    with pytest.warns(UserWarning, match="left out 2 classes"):
        splits = load(tmp_path, content, on_bad="skip")
    assert splits.classes == ("billing", "late", "praise")
    assert any("left out" in note.lower() and "'rare'" in note for note in splits.notes)


def test_two_rows_are_too_few(tmp_path):
    assert "2 classes too small" in reason(tmp_path, "label,text\na,one\nb,two\n")


def test_every_class_is_in_every_split_also_of_a_small_table(tmp_path):
    rows = [(f"class {i % 8}", f"text {i}") for i in range(24)]
    splits = load(tmp_path, written(rows))
    assert [sorted(set(p.labels.tolist())) for p in (splits.train, splits.val, splits.test)] == [list(range(8))] * 3


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_size_that_leaves_a_class_without_an_example_is_refused(part, tmp_path):
    told = reason(tmp_path, written(ROWS), **{f"n_{part}": 2})
    assert f"{part} got no text of" in told or "no example to train on of" in told


@pytest.mark.parametrize(("name", "n"), [("digits", 3), ("photos", 3), ("lesions", 3), ("triage", 3)])
def test_in_no_source_a_class_is_without_a_training_example(name, n):
    small = {"n_val": 16, "n_test": 16} | ({} if name == "triage" else {"image_size": 32})
    with pytest.raises(DataError, match=rf"{name}.*"):
        tl.load_data(name, n, **small)


def test_texts_and_labels_that_are_empty_or_contradict_are_left_out_if_that_is_wanted(tmp_path):
    rows = [*ROWS, ("late", ""), ("", "without"), ("late", "Both  ways"), ("praise", "both ways")]
    told = reason(tmp_path, written(rows))
    assert "2 rows without a label or without a text: line 32; line 33" in told
    assert "'Both  ways' is labelled 'late' (line 34) and 'praise' (line 35)" in told
    with pytest.warns(UserWarning, match="left out"):
        splits = load(tmp_path, written(rows), on_bad="skip")
    assert all_texts(splits) == {text for _, text in ROWS}


def test_copies_that_differ_in_unicode_form_capitals_and_spaces_are_on_one_side(tmp_path):
    forms = ["Käse %d", "KA\u0308SE %d", "käse   %d", "\uff4b\u00e4se %d"]
    rows = [(("a", "b")[i % 2], form % i) for i in range(24) for form in forms]
    splits = load(tmp_path, written(rows))
    sides = [{text.split()[-1] for text in p.texts} for p in (splits.train, splits.val, splits.test)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert any("24 texts occur more than once" in note for note in splits.notes)


# Groups


def people(column):
    return written([(*row, f"p{i // 3}") for i, row in enumerate(ROWS)], ("label", "text", column))


def test_the_rows_of_a_group_are_on_one_side(tmp_path):
    splits = load(tmp_path, people("who"), groups="who")
    number = {text: i // 3 for i, (_, text) in enumerate(ROWS)}
    sides = [{number[text] for text in part.texts} for part in (splits.train, splits.val, splits.test)]
    assert all(sides) and sum(map(len, sides)) == 10


def test_a_column_that_looks_like_an_id_is_pointed_out_unless_it_is_used(tmp_path):
    with pytest.warns(UserWarning, match="'patient_id' names 10 for 30 rows.*--groups patient_id"):
        load(tmp_path, people("Patient_ID"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path, people("patient_id"), groups="patient_id")
        load(tmp_path, people("colour"))


def test_texts_that_are_copies_join_their_groups():
    rows = [Row("a", "one", "x"), Row("a", "two", "y"), Row("a", "ONE", "y"), Row("a", "four"), Row("a", "five")]
    assert groups_of(rows).tolist() == [0, 0, 0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", "1", "2", "3"])), min_size=1, max_size=12))
def test_groups_are_the_parts_that_hang_together(pairs):
    ids = groups_of([Row("", text, group) for text, group in pairs])
    near = np.array([[a == b or c == d != "" for b, d in pairs] for a, c in pairs])
    for _ in pairs:
        near = near @ near
    assert (near == (ids[:, None] == ids)).all()


# What is to be classified


def test_tables_files_of_lines_standard_input_and_texts_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text('id,Text\n1,"one,\ntwo"\n\n2,three\n', encoding="utf-8")
    (tmp_path / "b.txt").write_text("one, two\r\n\nthree\n", encoding="utf-8")
    table, lines = str(tmp_path / "a.csv"), str(tmp_path / "b.txt")

    def read(name):
        return [tuple(row[key] for key in ("file", "line", "text")) for row in unlabelled(name, "text")]

    assert read(table) == [(table, 2, "one,\ntwo"), (table, 5, "three")]
    assert read(lines) == [(lines, 1, "one, two"), (lines, 3, "three")]
    assert read("My knee hurts.") == [("", 1, "My knee hurts.")]
    assert read("Great") == [("", 1, "Great")]
    assert len(read("word " * 5000)) == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Grüße\n".encode())))
    assert read("-") == [("-", 1, "Grüße")]


@pytest.mark.parametrize("name", ["nothing.csv", "my letters.csv", "nothing.txt", "photo.jpg", "folder/nothing", "."])
def test_a_file_that_is_not_there_is_no_text(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="read"):
        unlabelled(name, "text")


def test_without_a_validation_split_nothing_is_trained_and_the_rate_is_not_blamed():
    splits = tl.load_data("digits", 20, image_size=32, n_val=0, n_test=16)
    model = tl.TransferModel("small_cnn", 10, pretrained=False)
    with pytest.raises(TransferError, match="digits: val is empty"):
        tl.fit(model, splits, tl.from_scratch(1))
