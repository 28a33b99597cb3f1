"""`make bench-peers`: Lightning, the HF Trainer and ignite beside the loop and the service.

The same nets, rows and optimizers, in turn, each on one thread and with every step logged. Peers
are timed from the start of their training to its end, the service from POST to `succeeded`. They
are installed separately (bench/peers-requirements.txt); nothing else needs them. BENCH_BEFORE may
name a work tree of another build, whose service is then measured too.
"""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytorch_lightning
import torch
import transformers
from ignite.engine import Events, create_supervised_trainer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn

from bench.article_loop import SEED_SPEC
from bench.engines import CPU, GPT, TEN_MILLION, WIDE, copy_batches, make_spec
from bench.report import Figure, describe_machine, ratio, show
from bench.service import BenchService, compared_builds, running_service
from bench.timing import measure_in_turn
from jobs.spec.job_spec import JobSpec
from models.build import build
from ticks import machine as torch_of_this_machine
from ticks.data.load import load_data
from ticks.objectives import OBJECTIVES
from ticks.optimizers import make_optimizer

#: net -> its spec, ticks of a round
NETS: dict[str, tuple[dict[str, Any], int]] = {
    "seed's net": (SEED_SPEC, 2000),
    "mlp 512-512-512, batch 64": (WIDE, 300),
    "GPT 4 x 128, batch 16 x 64": (GPT, 100),
    "mlp of 10^7 parameters, batch 64": (TEN_MILLION, 60),
}
ROUNDS = 7
SERVICE_NAMES = {"this build": "service", "before": "service before"}
Batch = tuple[Tensor, Tensor]


class LossModule(nn.Module):
    """A net that returns its own loss, with the batches that it is trained on."""

    def __init__(self, spec: JobSpec) -> None:
        super().__init__()
        self.net = build(spec.model, spec.profile.features, spec.profile.outputs, spec.seed)
        self.criterion, self.spec = OBJECTIVES[spec.objective](), spec

    def forward(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, as the HF Trainer expects it."""
        return {"loss": self.criterion(self.net(inputs), targets)}

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return torch's own optimizer of the spec."""
        return make_optimizer(self.spec.optimizer, self.net.parameters())


class ReadyBatches(torch.utils.data.Dataset[Batch]):
    """Batches that are made before the clock starts."""

    def __init__(self, batches: list[Batch], ticks: int, *, as_dict: bool = False) -> None:
        self.batches, self.ticks, self.as_dict = batches, ticks, as_dict

    def __len__(self) -> int:
        return self.ticks

    def __getitem__(self, index: int) -> Any:
        inputs, targets = self.batches[index % len(self.batches)]
        return {"inputs": inputs, "targets": targets} if self.as_dict else (inputs, targets)


def run_loop(spec: JobSpec, batches: list[Batch], ticks: int, _folder: str) -> float:
    """The hand-written loop."""
    module = LossModule(spec)
    optimizer, losses = module.build_optimizer(), []
    started = time.perf_counter()
    for tick in range(ticks):
        loss = module(*batches[tick % len(batches)])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return time.perf_counter() - started


class LightningNet(pytorch_lightning.LightningModule):
    """The net as a Lightning module."""

    def __init__(self, spec: JobSpec) -> None:
        super().__init__()
        self.loss_module = LossModule(spec)
        self.started_at = self.ended_at = 0.0

    def training_step(self, batch: Batch, _at: int) -> Tensor:
        """Compute a loss and log it."""
        loss = self.loss_module(*batch)["loss"]
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer."""
        return self.loss_module.build_optimizer()

    def on_train_start(self) -> None:
        """Start the clock."""
        self.started_at = time.perf_counter()

    def on_train_end(self) -> None:
        """Stop the clock."""
        self.ended_at = time.perf_counter()


def run_lightning(spec: JobSpec, batches: list[Batch], ticks: int, folder: str) -> float:
    """Lightning with a CSV logger, every step."""
    net = LightningNet(spec)
    trainer = pytorch_lightning.Trainer(
        max_steps=ticks, accelerator="cpu", logger=CSVLogger(folder, flush_logs_every_n_steps=100),
        log_every_n_steps=1, enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(net, torch.utils.data.DataLoader(ReadyBatches(batches, ticks), batch_size=None))
    return net.ended_at - net.started_at


class TrainingClock(transformers.TrainerCallback):
    """Times the HF Trainer's loop."""

    started_at = ended_at = 0.0

    def on_train_begin(self, *_args: Any, **_more: Any) -> None:
        """Start."""
        self.started_at = time.perf_counter()

    def on_train_end(self, *_args: Any, **_more: Any) -> None:
        """Stop."""
        self.ended_at = time.perf_counter()


def run_hf_trainer(spec: JobSpec, batches: list[Batch], ticks: int, folder: str) -> float:
    """The HF Trainer, every step logged."""
    module, clock = LossModule(spec), TrainingClock()
    optimizer = module.build_optimizer()
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _step: 1.0)
    arguments = transformers.TrainingArguments(
        output_dir=folder, max_steps=ticks, per_device_train_batch_size=1, logging_steps=1,
        report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, max_grad_norm=0,
        remove_unused_columns=False, dataloader_pin_memory=False,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=module, args=arguments, train_dataset=ReadyBatches(batches, ticks, as_dict=True),
        optimizers=(optimizer, rates), callbacks=[clock], data_collator=lambda rows: rows[0],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return clock.ended_at - clock.started_at


def run_ignite(spec: JobSpec, batches: list[Batch], ticks: int, _folder: str) -> float:
    """Ignite with a handler that records every loss."""
    module, losses = LossModule(spec), []
    optimizer = module.build_optimizer()
    step = create_supervised_trainer(module.net, optimizer, module.criterion)
    step.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output)
    )
    loader = torch.utils.data.DataLoader(ReadyBatches(batches, ticks), batch_size=None)
    started = time.perf_counter()
    step.run(loader, max_epochs=1)
    return time.perf_counter() - started


PEERS: dict[str, Callable[[JobSpec, list[Batch], int, str], float]] = {
    "loop": run_loop,
    "Lightning": run_lightning,
    "HF Trainer": run_hf_trainer,
    "ignite": run_ignite,
}


def measure(rounds: int) -> list[Figure]:
    """Run all of them and the service, in turn."""
    torch_of_this_machine.configure_torch(1)
    figures = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        services = {
            SERVICE_NAMES[name]: stack.enter_context(running_service(tree=tree))
            for name, tree in compared_builds().items()
        }
        for net, (body, ticks) in NETS.items():
            spec = make_spec(body)
            source = load_data(spec, CPU).training
            batches = copy_batches(source.batches(spec.batch_size, seed=0, shuffle=False))
            arguments = (spec, batches, ticks, folder)
            timers = {name: partial(run, *arguments) for name, run in PEERS.items()}
            job_spec = {**body, "budget": {"ticks": ticks}}
            for name, service in services.items():
                timers[name] = partial(_time_service, service, job_spec)
            seconds = measure_in_turn(timers, rounds, warmup_rounds=1)
            for name, values in seconds.items():
                figures.append(Figure(f"{net}: {name}", "ticks/s", [ticks / s for s in values]))
            for name in (name for name in seconds if name != "service"):
                title = f"{net}: service against {name}"
                figures.append(ratio(title, seconds[name], seconds["service"]))
    return figures


def _time_service(service: BenchService, body: dict[str, Any]) -> float:
    return service.run(body)[0]


def main() -> None:
    """Measure and show."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    show("peers", "Peers: beside the loop and the service", describe_machine(), measure(ROUNDS))


if __name__ == "__main__":
    main()
