"""What the commands of nice-np do: each takes the parsed arguments and returns (result for --json, text to read)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from nice_np import bijectors as b
from nice_np.bijectors.scales import SCALES
from nice_np.checkpoint import load_model
from nice_np.datasets import Dataset, load
from nice_np.errors import NiceFileError, NiceValueError
from nice_np.flow import Flow
from nice_np.gradcheck import check_gradients
from nice_np.mlp import MLP
from nice_np.presets import get_preset
from nice_np.priors import PRIORS
from nice_np.runs import (
    NOISE_SEED,
    SPLITS,
    as_density_input,
    environment,
    prepare_folder,
    score,
    write_results,
)
from nice_np.training import fit

Result = tuple[dict[str, Any], str]


def demo(arguments: argparse.Namespace) -> Result:
    """Train on the embedded digits for a minute."""
    settings = {"dataset": "mnist-small", "preset": None, "epochs": None, "batch_size": None, "learning_rate": None}
    arguments = argparse.Namespace(
        **{**vars(arguments), **settings}, resume=False, data_dir=None, checkpoint_every=60.0
    )
    return train(arguments)


def train(arguments: argparse.Namespace) -> Result:
    """Train, score all splits, draw figures, fill the run folder."""
    folder = arguments.out or Path("runs") / arguments.dataset
    prepare_folder(folder, keep=arguments.resume, force=arguments.force)
    dataset = load(arguments.dataset, data_dir=arguments.data_dir, seed=arguments.seed, progress=not arguments.quiet)
    preset_name, preset = get_preset(arguments.preset, dataset)
    model_rng, fit_rng = np.random.default_rng(arguments.seed).spawn(2)
    flow = preset.build(dataset, model_rng)
    training = preset.training(arguments.learning_rate, arguments.batch_size)
    epochs = None if arguments.time_limit is not None else arguments.epochs or preset.epochs
    history = fit(
        flow,
        dataset.train,
        validation=dataset.validation,
        epochs=epochs,
        time_limit=arguments.time_limit,
        checkpoint=folder / "checkpoint.npz",
        checkpoint_every=arguments.checkpoint_every,
        resume=arguments.resume,
        progress=not arguments.quiet,
        rng=fit_rng,
        **training,
    )
    scores = {split: score(flow, dataset, split, NOISE_SEED) for split in SPLITS}
    metadata = {
        "dataset": dataset.name,
        "preset": preset_name,
        "seed": arguments.seed,
        "bin_width": dataset.bin_width,
        "image_shape": dataset.image_shape,
    }
    metrics = {
        **metadata,
        "configuration": {
            "flow": repr(flow).splitlines(),
            **{name: repr(value) if not isinstance(value, (int, float)) else value for name, value in training.items()},
            "epochs": epochs,
            "time_limit": arguments.time_limit,
        },
        "parameters": len(flow.params),
        "epochs": len(history.rows),
        "steps": history.rows[-1]["step"],
        "best_epoch": history.best_epoch,
        "train_seconds": history.rows[-1]["seconds"],
        "log_likelihood": {split: scores[split]["log_likelihood"] for split in SPLITS},
        "bits_per_dim": {split: scores[split]["bits_per_dim"] for split in SPLITS},
        **environment(),
    }
    write_results(folder, flow, metrics, history, metadata)
    figures = draw(flow, dataset, history, folder / "figures", arguments.seed)
    result = {**metrics, "out": str(folder), "figures": [str(path) for path in figures]}
    return result, _summary(result)


def draw(flow: Flow, dataset: Dataset, history: Any, folder: Path, seed: int) -> list[Path]:
    """The figures of a finished run; returns their paths."""
    from nice_np import plotting

    folder.mkdir(exist_ok=True)
    figures: dict[str, Any] = {"training_curve": plotting.training_curve(history)}
    has_scaling = any(isinstance(layer, b.DiagonalScaling) for layer in getattr(flow.bijector, "layers", ()))
    if dataset.image_shape is not None:
        real = as_density_input(dataset.test[:10], NOISE_SEED, flow.dtype)
        samples = flow.sample(100, rng=seed)
        figures["samples"] = plotting.image_grid(samples, dataset.image_shape, title="samples from the model")
        figures["reconstructions"] = plotting.reconstructions(real, flow.decode(flow.encode(real)), dataset.image_shape)
    else:
        figures["density"] = plotting.density(flow, samples=flow.sample(500, rng=seed))
        figures["bent_grid"] = plotting.bent_grid(flow)[0].figure
    if has_scaling:
        figures["spectrum"] = plotting.spectrum(flow)
    paths = []
    for name, drawing in figures.items():
        plotting.save(drawing, folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    return paths


def evaluate(arguments: argparse.Namespace) -> Result:
    """Score one split of a data set."""
    flow, metadata = load_run(arguments.model)
    name = arguments.data or metadata.get("dataset")
    if name is None:
        raise NiceValueError(f"{arguments.model} does not say what it was trained on; name a data set with --data")
    dataset = load(name, data_dir=arguments.data_dir, seed=metadata.get("seed", 0))
    if dataset.dim != flow.dim:
        raise NiceValueError(f"data set {name} has {dataset.dim} features, the model expects {flow.dim}")
    result = {"model": str(arguments.model), "data": name, "split": arguments.split, "seed": arguments.seed}
    result.update(score(flow, dataset, arguments.split, arguments.seed))
    text = (
        f"{name} {arguments.split}: {result['log_likelihood']:.2f} +- {result['standard_error']:.2f} nats, "
        f"{result['bits_per_dim']:.4f} bits/dim over {result['samples']} samples"
    )
    return result, text


def sample(arguments: argparse.Namespace) -> Result:
    """Draw from a model into a picture or an array."""
    flow, metadata = load_run(arguments.model)
    out: Path = arguments.out
    if out.exists() and not arguments.force:
        raise NiceFileError(f"{out} exists; --force replaces it")
    x = flow.sample(arguments.n, rng=arguments.seed, temperature=arguments.temperature)
    if out.suffix.lower() == ".npy":
        try:
            with open(out, "wb") as file:
                np.save(file, x)
        except OSError as error:
            raise NiceFileError(f"cannot write {out}: {error.strerror or error}") from error
    else:
        from nice_np import plotting

        shape = metadata.get("image_shape")
        plotting.save(plotting.image_grid(x, shape) if shape else plotting.density(flow, samples=x), out)
    result = {"model": str(arguments.model), "n": arguments.n, "out": str(out), "shape": list(x.shape)}
    return result, f"{arguments.n} samples written to {out}"


def gradcheck(arguments: argparse.Namespace) -> Result:
    """Check one model, or small flows of every law and prior."""
    if arguments.model is not None:
        flow, _ = load_run(arguments.model)
        flows = {str(arguments.model): flow}
    else:
        flows = dict(small_flows(arguments.seed))
    reports, texts = {}, []
    for name, flow in flows.items():
        rng = np.random.default_rng(arguments.seed)
        # Spread samples out a little, so that logits and scales are not all at their start values.
        report = check_gradients(flow, flow.astype(np.float64).sample(4, rng), rng=rng)
        reports[name] = report
        texts.append(f"{name}\n{report}\n")
    passed = all(report.passed for report in reports.values())
    texts.append("all gradients agree with finite differences" if passed else "some gradients are WRONG, see above")
    return {"passed": passed, "reports": {name: r.to_dict() for name, r in reports.items()}}, "\n".join(texts)


def small_flows(seed: int) -> Any:
    """Pairs (name, flow) for each law, scale and prior, with random weights."""
    rng = np.random.default_rng(seed)
    laws: list[tuple[str, type[b.Coupling], dict[str, Any]]] = [("AdditiveCoupling", b.AdditiveCoupling, {})]
    for scale in SCALES:
        laws.append((f"MultiplicativeCoupling, scale {scale}", b.MultiplicativeCoupling, {"scale": scale}))
        laws.append((f"AffineCoupling, scale {scale}", b.AffineCoupling, {"scale": scale}))
    for name, law, settings in laws:
        for prior in PRIORS:
            part, layers = b.Partition.odd_even(5), []
            for _ in range(3):
                sizes = (len(part.idx_a), 8, law.thetas_per_feature * len(part.idx_b))
                layers.append(law(part, MLP(sizes, rng=rng), **settings))
                part = part.swapped()
            flow = Flow(prior, b.Chain([b.Standardize(rng.normal(size=5), np.ones(5)), *layers, b.DiagonalScaling(5)]))
            flow.params.values[:] = rng.normal(0, 0.3, len(flow.params))
            yield f"{name}, {prior} prior", flow


def info(arguments: argparse.Namespace) -> Result:
    """Architecture and metadata of a model."""
    flow, metadata = load_run(arguments.model)
    result = {
        "model": str(arguments.model),
        "parameters": len(flow.params),
        "flow": repr(flow).splitlines(),
        **metadata,
    }
    rows = [repr(flow), *(f"{name}: {value}" for name, value in metadata.items())]
    return result, "\n".join(rows)


def load_run(path: Path) -> tuple[Flow, dict[str, Any]]:
    """The model of a run folder, or of a model file."""
    return load_model(path / "model.npz" if path.is_dir() else path)


def _summary(result: dict[str, Any]) -> str:
    nats, bits = result["log_likelihood"], result["bits_per_dim"]
    rows = [
        f"{result['dataset']}, preset {result['preset']}: {result['parameters']:,} parameters, "
        f"{result['epochs']} epochs, {result['steps']} steps, {result['train_seconds']:.1f} s",
        "              log-likelihood     bits/dim",
        *(f"  {split:<12}{nats[split]:>10.2f} nats {bits[split]:>12.4f}" for split in SPLITS),
        f"model and figures in {result['out']}:",
        *(f"  {path}" for path in result["figures"]),
    ]
    return "\n".join(rows)
