"""A run that trains MCC: views of objects, training, weights, measured on objects that it has not seen."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch

from nto3d.build.device import build_device
from nto3d.build.train_mcc import (
    build_mcc_schedule,
    build_network,
    held_out_views,
    learnt_subjects,
)
from nto3d.config.io import to_dict
from nto3d.config.schema import Config
from nto3d.errors import InputError, memory_of
from nto3d.mcc.batches import Subject
from nto3d.mcc.model import Mcc
from nto3d.mcc.weights import load_mcc, save_mcc
from nto3d.parsers.contents import contents_of
from nto3d.report.page.page import write_report
from nto3d.runs.folder import CHECKPOINT_NAME, config_text, last_command, peak_memory_gb
from nto3d.runs.owner import check_owner
from nto3d.stages.mcc.assess import HeldOut, calibrate, complete_view, mean_scores
from nto3d.stages.mcc.learn import CompletionTraining, MuonWithAdam, small_attention
from nto3d.stages.reconstruct.assess import REPORT_NAME, history_curves, report_metrics
from nto3d.training.checkpoint import (
    check_config,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from nto3d.training.contents import TRAIN_MCC_STAGE
from nto3d.training.log import RunLogger
from nto3d.training.loop import fit
from nto3d.training.restore import check_step, load_module

log = logging.getLogger("nto3d")
STAGE = TRAIN_MCC_STAGE
RATES = "train_mcc.lr or train_mcc.adam_lr"
WEIGHTS_NAME = "mcc.safetensors"
CONFIG_KEYS = ("mode", "seed", "train_mcc.*")  # what shapes the result
OTHERS = 100_000  # held-out objects before those that the probabilities are calibrated on
GRANULARITY = 0.1  # of the sweeps that calibrate and measure at the end; scripts/evaluate_mcc.py measures more finely


def run_train_mcc(config: Config) -> dict[str, float]:
    """Train MCC, from a checkpoint on where there is one; leaves RUN/mcc.safetensors.

    Raises:
        InputError: something the user can fix. Interrupted: stopped with a checkpoint saved.
    """
    started = time.perf_counter()
    train, run_dir = config.train_mcc, Path(config.output)
    device = build_device(config)
    if not train.objects and not train.scenes:
        raise InputError("train_mcc: expected scenes or objects to learn from, got none")
    state = None
    if config.resume is not None:
        path = run_dir / CHECKPOINT_NAME
        state = load_checkpoint(path, device, (STAGE,))
        check_config(state["config"], to_dict(config), path, CONFIG_KEYS)
    model = build_network(train, device)
    log.info("a network of %.2f million parameters", sum(value.numel() for value in model.parameters()) / 1e6)
    subjects = learnt_subjects(config)
    if not subjects:
        raise InputError("train_mcc: expected views that show something of their target, found none")
    held_out = held_out_views(config, train.held_out) if train.held_out else []
    log.info("%d views to learn from, %d to measure with", len(subjects), len(held_out))
    torch.manual_seed(config.seed)
    logger, seconds = _fit(config, model, subjects, held_out, state)
    model.eval()
    if train.calibrate:
        single = config.single
        others = held_out_views(config, train.calibrate, OTHERS)
        best = calibrate(model, others, GRANULARITY, single.threshold, single.batch)
        log.info("the best threshold was %.2f: answers are shifted so that it is %g", best, single.threshold)
    save_mcc(model, run_dir / WEIGHTS_NAME)
    metrics: dict[str, float] = {"views": float(len(subjects))}
    if config.evaluate.enabled and held_out:
        metrics |= _assess(config, load_mcc(run_dir / WEIGHTS_NAME, device), held_out)  # as it was written
    metrics |= {"train_seconds": seconds, "total_seconds": time.perf_counter() - started}
    metrics["peak_memory_gb"] = peak_memory_gb()
    if config.evaluate.report:
        write_report(
            run_dir / REPORT_NAME,
            title="Training of MCC",
            command=last_command(run_dir),
            metrics=metrics,
            curves=history_curves(logger.history),
            config_yaml=config_text(config),
        )
    report_metrics(run_dir, metrics)
    log.info("weights: %s; use them with mode=single single.checkpoint=FILE", run_dir / WEIGHTS_NAME)
    return metrics


def _fit(
    config: Config, model: Mcc, subjects: list[Subject], held_out: list[HeldOut], state: dict[str, Any] | None
) -> tuple[RunLogger, float]:
    """The training; returns its log and its seconds."""
    train, run_dir = config.train_mcc, Path(config.output)
    objective = CompletionTraining(model, subjects, [view.subject for view in held_out], train, config.seed)
    optimizer = MuonWithAdam(model, train)
    start, seconds, begun = 0, 0.0, time.perf_counter()
    if state is not None:
        start, seconds = int(state["step"]), float(state["seconds"])
        with contents_of(run_dir / CHECKPOINT_NAME):
            check_step(start, train.steps)
            load_module(model, state["model"])
            optimizer.load_state_dict(state["optimizer"], start)
            restore_random_state(state["random"])
        log.info("going on from step %d", start)

    def save(step: int) -> None:
        check_owner(run_dir)
        save_checkpoint(
            run_dir / CHECKPOINT_NAME,
            {
                "stage": STAGE,
                "step": step,
                "seconds": seconds + time.perf_counter() - begun,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": random_state(),
                "config": to_dict(config),
            },
        )

    asked = f"train_mcc.batch={train.batch}, views of train_mcc.queries={train.queries} places a step"
    logger = RunLogger(run_dir, train.steps, start, config.logger.tensorboard, title="train_mcc")
    try:
        with small_attention(next(model.parameters()).device), memory_of(asked, "lower one of them or the network"):
            fit(objective, optimizer, build_mcc_schedule(train), logger, save, run_dir, start, rates=RATES)
    finally:
        objective.close()
    return logger, seconds + time.perf_counter() - begun


def _assess(config: Config, model: Mcc, held_out: list[HeldOut]) -> dict[str, float]:
    """Scores on the held-out objects."""
    single = config.single
    completed = [complete_view(model, view, GRANULARITY, single.threshold, single.batch) for view in held_out]
    return mean_scores(completed, single.threshold)
