"""Every rule keeps the contract: a page, a broken and a healthy fixture in its mirrored test, no torch."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from thalweg.errors import UsageError
from thalweg.findings import CAUSES, SEVERITIES, Finding
from thalweg.readings import Reading, Readings
from thalweg.rules import SECTIONS, Rule, all_rules, judge_all, page, rule

SOURCE = Path(importlib.util.find_spec("thalweg.rules").submodule_search_locations[0])
RULES = all_rules()


def ids(each: Rule) -> str:
    return each.code


def mirrored_test(each: Rule) -> ModuleType:
    """The test module of a rule: `rules/<family>/<code>_<name>.py` -> `tests/rules/<family>/test_<code>_<name>.py`."""
    file = Path(sys.modules[each.judge.__module__].__file__)
    mirror = Path(__file__).parent / file.parent.name / f"test_{file.name}"
    assert mirror.is_file(), f"{each.code} has no test at {mirror}"
    spec = importlib.util.spec_from_file_location(f"fixtures_of_{each.code}", mirror)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rules_are_found_by_their_files():
    files = {f"{file.parent.name}/{file.name}" for file in SOURCE.glob("*/*_*.py") if not file.name.startswith("_")}
    found = {"/".join(Path(sys.modules[r.judge.__module__].__file__).parts[-2:]) for r in RULES}
    assert found == files
    assert [r.code for r in RULES] == sorted({r.code for r in RULES})


@pytest.mark.parametrize("each", RULES, ids=ids)
def test_code_names_its_folder_and_file(each):
    file = Path(sys.modules[each.judge.__module__].__file__)
    assert re.fullmatch(r"[A-Z]+\d\d", each.code)
    assert file.parent.name == each.code[:-2].lower()
    assert file.name.startswith(each.code.lower() + "_")
    assert each.name


@pytest.mark.parametrize("each", RULES, ids=ids)
def test_page_has_every_section_with_words(each):
    text = page(each.code)
    assert text.startswith(f"# {each.code}")
    for section in SECTIONS:
        found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert found, f"{each.code} has no section {section!r}"
        assert len(found[1].split()) >= 3, f"{each.code}: section {section!r} is empty"
    assert re.search(r"\((safe|changes training|manual)\)", text), "remedies name their safety"


@pytest.mark.parametrize("each", RULES, ids=ids)
def test_broken_fixture_is_found(each):
    broken: Readings = mirrored_test(each).BROKEN
    judged = judge_all(broken, [each])
    assert judged.findings
    for finding in judged.findings:
        assert finding.code == each.code
        assert finding.cause in CAUSES
        assert finding.severity in SEVERITIES
        assert finding.evidence
        assert Finding.from_json(finding.to_json()) == finding
    assert judge_all(broken, [each]) == judged, "a rule is a pure function"


@pytest.mark.parametrize("each", RULES, ids=ids)
def test_healthy_fixture_passes(each):
    judged = judge_all(mirrored_test(each).HEALTHY, [each])
    assert judged.findings == ()
    assert judged.passed == (each.code,)


@pytest.mark.parametrize("each", RULES, ids=ids)
def test_without_its_readings_a_rule_does_not_judge(each):
    assert each.needs
    assert judge_all(Readings(), [each]).not_judged == (each.code,)
    some = Readings([Reading(each.needs[0], 1.0)])
    if len(each.needs) > 1:
        assert judge_all(some, [each]).not_judged == (each.code,)


def test_rules_need_no_torch():
    code = "import sys; from thalweg.rules import all_rules; all_rules(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_code_names_the_nearest():
    assert rule("loss01").code == "LOSS01"
    with pytest.raises(UsageError, match="Did you mean 'LOSS01'"):
        rule("LOS01")
