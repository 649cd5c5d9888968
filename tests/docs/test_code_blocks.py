"""What the documentation shows is executed: each page in a process and an empty folder of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in (*ROOT.glob("README.md"), *ROOT.glob("docs/**/*.md"))
    if "```" in page.read_text()  # a process for each: not for those that show nothing, as runbooks
)


def run(page: Path, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        # nothing else: a provider's key in the developer's shell must not make an example call a real model
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(cwd),
        "NO_COLOR": "1",
    }
    command = [sys.executable, Path(__file__).with_name("page.py"), page]
    with (cwd / ".stdout").open("w+") as out, (cwd / ".stderr").open("w+") as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=150)
        finally:
            # also the workers that its blocks have left running
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


@pytest.mark.soak_on(
    "clients", "google-adk", "openai-agents", "strands", "testing"
)  # ten seconds and more each
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    result = run(page, cwd=tmp_path)
    assert result.returncode == 0, f"\n{result.stdout}\n{result.stderr}"


def test_blocks_of_a_page_share_a_namespace_a_folder_and_a_loop(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        """
```python title="shop/prices.py"
import asyncio
price = 3
started = asyncio.Event
```

1. in a list

   ```python
   event = started()
   asyncio.get_running_loop().call_soon(event.set)
   await event.wait()
   ```

```python {.notest}
raise SystemExit("not to be executed")
```

```sh
exit 1
```

```sh {.run}
grep price shop/prices.py > found
```

```python {.file title="agents.py"}
raise SystemExit("written, not executed")
```

```sh {.run}
tail -n 1 agents.py; echo 7 "turns "
```

```text {.output}
raise SystemExit("written, not executed")
...
... turns
...
```

```python
assert open("found").read() == "price = 3\\n"
assert __name__ == "__main__" and price == 3 and event.is_set()
```
"""
    )
    result = run(page, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "7 blocks" in result.stdout


@pytest.mark.parametrize(
    ("fence", "code", "complaint"),
    [
        ("python", "x = 1\n1 / 0", "page.md:5: ZeroDivisionError: division by zero"),
        (
            "python",
            "import asyncio\nawait asyncio.wait_for(asyncio.Event().wait(), 0)",
            "page.md:5: TimeoutError",
        ),
        ("python", "x = 1\nx = ", "page.md:5: SyntaxError"),
        ("python", "x = 1\nraise SystemExit", "page.md:5: SystemExit"),
        ("python notest", "x = 1", "line 3: fence `python notest` is not one of those in CONTRIBUTING.md"),
        ("python {.skip}", "x = 1", "line 3: fence `python {.skip}` is not one of those"),
        ("json", "{'a': 1}", "page.md: line 4: not json"),
        ("toml", "a = ", "page.md: line 4: not toml"),
        ("text {.output}", "nothing was printed", "line 4: the block before printed something else"),
        ("python {.file}", "x = ", "page.md:4: SyntaxError"),
        ("sh {.run}", "false | true\necho unreached > /dev/null", "line 4: the commands ended with 1"),
    ],
)
def test_a_broken_block_fails_and_names_its_line(
    fence: str, code: str, complaint: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{fence}\n{code}\n```\n")
    result = run(page, cwd=tmp_path)
    assert result.returncode == 1
    assert complaint in result.stderr
