"""Render model.py: one file that builds a checkpoint's net, from the sources that trained it.

It joins the text of the modules the net consists of, so it cannot drift from them. Knows no job.
"""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from pprint import pformat
from types import CodeType, ModuleType
from typing import Any

from models import activations, checkpoint_module, norms, times
from models.mlp import inference as mlp_inference
from models.mlp import net as mlp
from models.mlp import records as mlp_records
from models.transformer_lm import inference as transformer_lm_inference
from models.transformer_lm import net as transformer_lm

#: family -> the modules to join, each after those it uses
MODULES: dict[str, tuple[ModuleType, ...]] = {
    "mlp": (activations, norms, mlp, checkpoint_module, times, mlp_records, mlp_inference),
    "transformer_lm": (
        activations, norms, transformer_lm, checkpoint_module, transformer_lm_inference,
    ),
}  # fmt: skip
IMPORT_NODES = ast.Import | ast.ImportFrom
#: the line of checkpoint_module.py that the checkpoint's config replaces
CONFIG_LINE = "CONFIG: dict[str, Any] = {}"

USAGE = {
    "mlp": """
    network = model.load()
    outputs = network(model.prepare(rows))  # rows: a float tensor [rows, {inputs}]

After a training on a table with named columns, model.encode(records) makes such rows, and
model.predict(records) is all of it. model.class_names(outputs) names the likeliest classes of a
classifier; model.to_target_units(outputs) are the predictions of a net of numbers, which was
trained on standardized targets if CONFIG has a target_scale.
""",
    "transformer_lm": """
    network = model.load()
    logits = network(model.encode("some text")[None])  # [1, tokens, {outputs}], at most {inputs}
    print(model.generate(network, "some text"))
""",
}
HEAD = '''"""The net of this checkpoint, in one file that needs only torch and safetensors.

    import model  # this file, with model.safetensors beside it
{usage}
A {family} of {parameters:,} parameters, trained for {objective}. Its sizes are in CONFIG below.
"""

from __future__ import annotations
'''


def render_model_py(config: Mapping[str, Any]) -> str:
    """Return the text of model.py for a checkpoint's config (the content of its config.json)."""
    family = config["model"]["family"]
    usage = USAGE[family].format_map(config)
    head = HEAD.format_map({**config, "family": family, "usage": usage})
    literal = "CONFIG: dict[str, Any] = " + pformat(dict(config), width=100, sort_dicts=False)
    return head + "\n" + join_modules(family).replace(CONFIG_LINE, literal)


def make_module(config: Mapping[str, Any]) -> ModuleType:
    """Return a module equal to an imported model.py of this config, without a file.

    It runs the text that `render_model_py` writes, and takes the config as it is: to write that of
    ten thousand columns as Python, and to read it again, would take seconds.
    """
    module = ModuleType("model")
    exec(compile_family(config["model"]["family"]), module.__dict__)
    module.CONFIG.update(config)
    return module


@cache
def compile_family(family: str) -> CodeType:
    """Compile what every model.py of a family has in common."""
    text = "from __future__ import annotations\n" + join_modules(family)
    return compile(text, f"<model.py of {family}>", "exec")


@cache
def join_modules(family: str) -> str:
    """Join the family's modules: one block of their imports from elsewhere, then their bodies.

    Cached, so that a process that calls it before it forks saves each child about 5 ms.
    """
    imports: dict[str, set[str]] = {}
    bodies = []
    for module in MODULES[family]:
        text = inspect.getsource(module)
        import_nodes = [node for node in ast.parse(text).body if isinstance(node, IMPORT_NODES)]
        for node in import_nodes:
            origin = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if not origin.startswith("models"):
                imports.setdefault(origin, set()).update(map(ast.unparse, node.names))
        bodies.append(
            "".join(text.splitlines(keepends=True)[import_nodes[-1].end_lineno :]).strip()
        )
    lines = [f"import {name}" for name in sorted(imports.pop("", set()))]
    lines += [
        f"from {module_name} import {', '.join(sorted(imports[module_name]))}"
        for module_name in sorted(imports)
    ]
    return "\n".join([*lines, "\n", "\n\n\n".join(bodies), ""])
