"""The notebook in a project's README runs as it is written."""

import re
import subprocess
from pathlib import Path

import pytest
from rendering import ROOT, render

PYTHON = ROOT / ".venv-project/bin/python"

RUN = """
import nbformat, pathlib, sys
from nbclient import NotebookClient

code = pathlib.Path("README.py").read_text()
cells = [nbformat.v4.new_code_cell(cell) for cell in code.split("\\n\\n")]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, kernel_name="python3", timeout=600).execute()
print(notebook.cells[-1].outputs[-1]["data"]["text/plain"])
"""


@pytest.mark.slow
def test_the_readme_trains_a_model_in_ten_lines_of_a_notebook(
    template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits")
    text = (project / "README.md").read_text(encoding="utf-8")
    _, after = text.split("## In a notebook")
    begin, code = re.findall(r"```python\n(.*?)```", after, re.DOTALL)[:2]
    assert len([line for line in code.splitlines() if line]) <= 10
    notebooks = project / "notebooks"
    notebooks.mkdir()
    (notebooks / "README.py").write_text(f"{begin}\n{code}".strip(), encoding="utf-8")
    result = subprocess.run(
        [PYTHON, "-c", RUN],
        cwd=notebooks,
        env={"PYTHONPATH": str(project / "src"), "PATH": f"{PYTHON.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 2.0, "lower than log(10), the loss of uniform probabilities"
    assert (project / "runs/notebook/outcome.json").exists(), "at the project's root"
