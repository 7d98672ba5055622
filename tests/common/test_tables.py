"""Tables as a page shows them."""

import numpy as np
import pandas as pd

from fer_utils.common import tables

TABLE = pd.DataFrame(
    {"name": ["a", "b"], "n": [1234, 5], "share": [0.1234, np.nan], "grey": [1.26, 2.0]}, index=["one", "two"]
)


def test_text_to_the_left_numbers_to_the_right_shares_in_per_cent():
    html = tables.show(TABLE, percent=["share"])._repr_html_()
    for shown in ("1,234", "12.3%", ">1.3<", ">2.0<", ">one<"):
        assert shown in html
    assert "nan" not in html
    css = html.split("</style>")[0]
    assert css.count("text-align: left") == 2 and css.count("text-align: right") == 3
    assert [f".col{i} {{" in css for i in range(4)] == [False, True, True, True]


def test_the_name_of_the_index_stands_in_the_line_of_the_columns_names():
    html = tables.show(TABLE.rename_axis("which"))._repr_html_()
    head = html.split("<thead>")[1].split("</thead>")[0]
    assert head.count("<tr>") == 1 and ">which<" in head


def test_the_same_table_leaves_the_same_page_and_another_one_another():
    assert tables.show(TABLE)._repr_html_() == tables.show(TABLE.copy())._repr_html_()
    assert tables.show(TABLE)._repr_html_() != tables.show(TABLE, decimals=2)._repr_html_()
    assert repr(tables.show(TABLE)) == TABLE.to_string()


def test_without_index_as_a_series_and_without_a_record():
    assert ">one<" not in tables.show(TABLE, index=False)._repr_html_()
    assert "1,234" in tables.show(TABLE["n"])._repr_html_()
    assert repr(tables.show(None)) == tables.NO_RECORD
    assert ">12.3%<" in tables.show(pd.DataFrame({"percent of files": [12.34]}))._repr_html_()
    assert ">12.3<" in tables.show(pd.DataFrame({"a file": ["x", 12.34]}))._repr_html_()
    mixed = pd.DataFrame({"n": np.array([3588], object), "accuracy": ["71.1%"]})
    assert "3,588" in tables.show(mixed)._repr_html_()
