import pyarrow as pa
import pytest

from sphinx_data.errors import UsageError
from sphinx_data.mix.where import Where

SAMPLES = pa.table(
    {
        "id": ["a", "b", "c"],
        "task": ["detection", "vqa", None],
        "num_regions": [1, 2, 3],
        "commercial": [True, None, False],
        "blur": [{"score": 30.0}, {"score": 10.0}, {"score": 1.0}],
    }
)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("task = 'detection' and num_regions <= 40 and blur.score > 20", "a"),
        ("commercial", "a"),
        ("not commercial", "c"),
        ("commercial is null", "b"),
        ("task in ('detection', 'vqa') or num_regions between 3 and 4", "abc"),
        ("case when num_regions > 1 then task = 'vqa' else false end", "b"),
        ("id like 'a%' -- a comment", "a"),
        ("coalesce(task, '') = ''", "c"),
        ("num_regions::varchar = '1'", "a"),
        ("id ~ '[bc]' and num_regions % 2 = 0", "b"),
        ("task <> 'vqa'", "a"),  # null is neither
        ("true", "abc"),
    ],
)
def test_rows_are_taken_for_which_it_is_true(expression, rows):
    found = Where(expression, "r.yaml: sources[0].where").mask(SAMPLES)
    assert "".join(pa.array(SAMPLES["id"]).filter(pa.array(found)).to_pylist()) == rows


ATTACKS = [
    "1=1; drop table samples", "true;", "(select true)", "id in (select id from samples)", "exists(select 1)",
    "num_regions = any(select 1)", "true from read_csv('/etc/passwd')", "1) from read_csv('/etc/passwd') where (true",
    "true) or (false", "true)--", "true union select false", "true order by 1", "true limit 1", "true as x", "true x",
    "true, false", "", "*", "columns(*) > 1", "id = ?", "id = $1", "count(*) > 1", "sum(num_regions) over () > 1",
    "unnest([true])", "length(read_text('/etc/passwd')) > 0", "getenv('HOME') = 'x'", "random() < 0.5",
    "current_setting('threads') = '1'", "now() > '2020-01-01'", "nextval('x') = 1", "getvariable('a') = 1",
    "list_filter([1], lambda x: x > 1) = [1]", "[x for x in [1]] = [1]", "main.read_text('/etc/passwd') = ''",
    "copy samples to '/tmp/x'", "attach '/tmp/x'", "hash(id) % 2 = 0", "true qualify true", "true group by 1",
]  # fmt: skip


@pytest.mark.parametrize("expression", ATTACKS)
def test_anything_but_one_expression_of_a_sample_is_refused(expression):
    with pytest.raises(UsageError, match=r"r.yaml: sources\[0\].where: .*give one true-or-false expression"):
        Where(expression, "r.yaml: sources[0].where").mask(SAMPLES)


def test_a_number_is_no_condition():
    with pytest.raises(UsageError, match=r"it gives .*, not true or false"):
        Where("num_regions", "r").mask(SAMPLES)


@pytest.mark.parametrize("name", ["current_date", "nothing", "samples"])
def test_a_name_that_is_no_column_is_refused(name):
    with pytest.raises(UsageError, match=f"'{name}' is neither in the index nor a column"):
        Where(f"{name} is null", "r").refuse_unknown(SAMPLES.column_names)
