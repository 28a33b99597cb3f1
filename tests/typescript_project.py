"""A project in TypeScript: clients generated from a document, and compiled programs of them."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.documents import code_blocks
from tests.node_packages import PROJECT, find_node, find_packages

PAGE, SECTION = "docs/integrations.md", "A client in TypeScript"
HEY_API = "@hey-api/openapi-ts/dist/run.mjs"  # its bin starts this without the options of Node
OPENAPI_TYPESCRIPT = "openapi-typescript/bin/cli.js"
TSC = "typescript/bin/tsc"
REDOCLY = "@redocly/cli/bin/cli.js"
SPECTRAL = "@stoplight/spectral-cli/dist/index.js"
#: nothing asks a registry for newer versions, or tells anyone of a use
OFFLINE = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "1"}
PROGRAMS = ("with_functions", "with_types")


def run_node(folder: Path, *arguments: str, **environ: str) -> str:
    """Run Node in a folder; gives what it printed, and fails with it unless it exits with 0."""
    completed = subprocess.run(
        [find_node(), *arguments],
        cwd=folder, env={**os.environ, **OFFLINE, **environ}, capture_output=True, text=True,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def run_package(folder: Path, program: str, *arguments: str) -> str:
    """Run a program of the npm packages in a folder, as if they were installed there."""
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(find_packages())
    as_linked = ("--preserve-symlinks", "--preserve-symlinks-main")
    return run_node(folder, *as_linked, str(folder / "node_modules" / program), *arguments)


def build_project(folder: Path, document: str) -> None:
    """Generate both clients of a document, and compile the programs of the page with them."""
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(PROJECT / name, folder)
    (folder / "openapi.json").write_text(document)
    for name, code in zip(PROGRAMS, code_blocks(PAGE, SECTION, "typescript"), strict=True):
        (folder / f"{name}.ts").write_text(code)
    _, by_hey_api, by_openapi_typescript = split_commands()
    run_package(folder, HEY_API, *by_hey_api)
    run_package(folder, OPENAPI_TYPESCRIPT, *by_openapi_typescript)
    run_package(folder, TSC, "--project", ".")


def split_commands() -> list[list[str]]:
    """Return the arguments of the page's commands, without the program."""
    lines = "".join(code_blocks(PAGE, SECTION, "bash")).splitlines()
    return [line.removeprefix("npx ").split()[1:] for line in lines]
