"""The benchmarks measure what they say: contenders agree, arithmetic is right, and a quick run writes its files.

Nothing here looks at how long anything takes.
"""

import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import count

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="benchmarks/ is in the checkout: run python -m pytest there")

import nice_np
from benchmarks import density, glow, kernels, latent, memory, report, roofline, startup
from benchmarks.__main__ import main
from benchmarks.agreement import Disagreement, agreeing, compare, training_results
from benchmarks.contender import Unavailable
from benchmarks.contenders import CONTENDERS, build, check_installed
from benchmarks.model import Model
from benchmarks.options import Options
from benchmarks.result import Result, Row
from benchmarks.timing import Task, Timing, calls_in_a_block, side_by_side
from benchmarks.weights import Weights
from benchmarks.with_numpy import NumpyModel

TINY = Model(dim=6, couplings=3, hidden=(8, 5), batch=7)  # an odd number of couplings: the halves end swapped


def contender_or_skip(name, model):
    """The contender with nice_np's weights."""
    try:
        return build(name, model, Weights.of_flow(model.flow()))
    except Unavailable as reason:
        pytest.skip(str(reason))


def slow_compiler(name):
    return pytest.param(name, marks=pytest.mark.slow) if name == "torch-compile" else name


OTHERS = [slow_compiler(name) for name in CONTENDERS if name != "nice_np"]


@pytest.mark.parametrize("couplings", [3, 4])
@pytest.mark.parametrize("name", OTHERS)
def test_loss_and_gradients_agree_before_and_after_steps(name, couplings):
    model = Model(dim=6, couplings=couplings, hidden=(8, 5), batch=7)
    ours, theirs = build("nice_np", model), contender_or_skip(name, model)
    x = model.data(model.batch)
    for _ in range(3):
        try:
            compare(name, theirs.loss_and_gradients(theirs.prepare(x)), ours.loss_and_gradients(x))
        except Unavailable as reason:
            pytest.skip(str(reason))
        ours.step(x)
        theirs.wait(theirs.step(theirs.prepare(x)))


@pytest.mark.parametrize("couplings", [3, 4])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_the_other_results_agree(name, couplings):
    model = Model(dim=6, couplings=couplings, hidden=(8, 5), batch=7)
    ours, theirs = build("nice_np", model), contender_or_skip(name, model)
    x, z = model.data(5), model.latents(5)
    their_x, their_z = theirs.prepare(x), theirs.prepare(z)
    compare(name, [np.asarray(theirs.log_prob(their_x))], [ours.log_prob(x)])
    compare(name, [np.asarray(theirs.decode(their_z))], [ours.decode(z)])
    compare(name, [np.asarray(theirs.latent_gradient(their_z, their_x))], [ours.latent_gradient(z, x)])


@pytest.mark.parametrize("name", ["nice_np", "torch", "jax"])
def test_samples_are_of_the_model(name):
    contender = contender_or_skip(name, Model(dim=2, couplings=4, hidden=(4,), batch=1))
    first, second = (np.asarray(contender.sample(4000)) for _ in range(2))
    assert first.shape == (4000, 2)
    assert not np.array_equal(first, second)
    # Near the identity at the start, so that samples are nearly the prior's: std pi / sqrt 3.
    np.testing.assert_allclose(first.std(axis=0), np.pi / np.sqrt(3), rtol=0.1)


def test_weights_are_in_the_order_of_the_flow():
    flow = TINY.flow()
    np.testing.assert_array_equal(Weights.of_flow(flow).flat(), flow.params.values)
    assert TINY.n_parameters == len(flow.params) == len(Weights.random(TINY).flat())


def test_latent_gradient_of_nice_np_is_the_slope_of_its_objective(rng):
    ours = build("nice_np", TINY)
    ours.flow = ours.flow.astype(np.float64)
    z, x, direction = (rng.normal(size=(4, TINY.dim)) for _ in range(3))

    def objective(z):
        return ((ours.decode(z) - x) ** 2).sum() / 2 - ours.flow.prior.log_prob(z).sum()

    slope = (objective(z + 1e-6 * direction) - objective(z - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose((ours.latent_gradient(z, x) * direction).sum(), slope, rtol=1e-6)


def test_a_disagreement_names_the_contender_and_the_numbers():
    with pytest.raises(Disagreement, match=r"^someone: 2\.5 where nice_np has 2, a difference of 0\.5; allowed"):
        compare("someone", [np.array([1.0, 2.5])], [np.array([1.0, 2.0])])
    with pytest.raises(Disagreement, match="nan"):
        compare("someone", [np.nan], [1.0])
    with pytest.raises(Disagreement, match="shape"):
        compare("someone", [np.ones(2)], [np.ones(3)])
    compare("someone", [np.array([1e-5, 1.0])], [np.array([0.0, 1.0])])  # relative to the largest entry


def test_a_library_that_is_not_installed_is_a_line_of_the_report(monkeypatch):
    monkeypatch.setattr("benchmarks.contenders.find_spec", lambda name: None if name != "nice_np" else find_spec(name))
    with pytest.raises(Unavailable, match=r"^torch is not installed"):
        check_installed("torch-fused")
    contenders, missing = agreeing(TINY, ["nice_np", "jax"], training_results(TINY))
    assert list(contenders) == ["nice_np"]
    assert missing == {"jax": "jax is not installed"}


# -- the roofline -------------------------------------------------------------------------------------------------


def test_products_of_a_training_step_are_all_but_one():
    sizes = [(3, 8), (8, 5), (5, 3)]
    each = sum(2 * 7 * n_in * n_out for n_in, n_out in sizes)
    products = roofline.training_products(TINY)
    assert len(products) == 3 * 3 * 3 - 1  # three products, layers and couplings; the data need no gradient
    assert sum(product.flops for product in products) == 3 * 3 * each - 2 * 7 * 3 * 8
    assert sum(product.flops for product in roofline.latent_products(TINY)) == 2 * 3 * each
    assert sum(product.flops for product in roofline.scoring_products(TINY, 7)) == 3 * each


def test_products_lie_as_in_a_step():
    products = roofline.training_products(TINY)
    forward, backward = products[:9], products[9:]
    values = forward[0].right.base
    assert all(product.right.base is values for product in forward)
    assert values.size == TINY.n_parameters
    gradients = [product.out for product in backward[::2]]  # each weight's gradient once, last layer first
    assert [g.shape for g in gradients] == 3 * [(5, 3), (8, 5), (3, 8)]
    assert len({id(g.base) for g in gradients}) == 1


def test_the_runner_computes_the_products():
    products = roofline.training_products(TINY)
    roofline.runner(products)()
    last = products[-1]
    np.testing.assert_allclose(last.out, last.left @ last.right, rtol=1e-6)
    assert all(np.isfinite(product.out).all() for product in products)


def test_rates_and_ideal():
    product = roofline.Product(np.ones((10, 20)), np.ones((20, 50)), np.ones((10, 50)))
    assert roofline.gflops([product] * 5, seconds=1e-3) == pytest.approx(5 * 20_000 / 1e6)
    assert roofline.adam_seconds(1_000_000, 28e9) == pytest.approx(1e-3)  # seven passes of four bytes


def test_a_pass_over_the_arrays_is_a_triad():
    pytest.importorskip("numba")
    from benchmarks.bandwidth import Bandwidth, triad, update

    memory = Bandwidth(quick=True)
    a, b, c = memory.arrays
    b[:], c[:] = 2, 1000
    memory.task(triad).call()
    assert np.unique(a).tolist() == [3]  # 2 + 1e-3 * 1000: every number, whichever thread had it
    memory.task(update).call()
    np.testing.assert_allclose(a, 3.002, rtol=1e-6)
    assert memory.bytes_moved == 12 * a.size


# -- timing and report --------------------------------------------------------------------------------------------


def test_everybody_runs_in_every_round(monkeypatch):
    monkeypatch.setattr("benchmarks.timing.PAUSE", 0)
    clock = count(step=1e-3)
    monkeypatch.setattr("benchmarks.timing.perf_counter", lambda: next(clock))
    calls = []
    timings = side_by_side([Task(name, lambda name=name: calls.append(name)) for name in "abc"], rounds=4)
    assert list(timings) == ["a", "b", "c"]
    assert all(timing.rounds == 4 and timing.calls == 50 for timing in timings.values())
    assert calls[9 : 9 + 52] == ["a"] * 52  # behind 3 first calls each: two that are not counted, then the block
    in_turn = [name for k, name in enumerate(calls[9:]) if k % 52 == 0]
    assert "".join(in_turn) == "abcbcacababc"


def test_blocks_and_quartiles():
    assert [calls_in_a_block(seconds) for seconds in (10.0, 0.1, 1e-6)] == [1, 3, 50]
    timing = Timing.of([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (timing.q1, timing.median, timing.q3, timing.rounds) == (2.0, 3.0, 4.0, 5)


def test_table():
    rows = [Row("nice_np", 2.0, 1.5, 2.5, 3, 10), Row("torch", 4.0, 3.9, 4.1, 3, 5, "eager"), Row("jax", note="no jax")]
    text = report.table(Result("A step", rows=rows, ideal=1.0, notes=["Note."]))
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert lines[0] == ["", "ms, median", "quartiles", "of nice_np", "of ideal", ""]
    assert lines[2:] == [
        ["nice_np", "2.00", "1.50 to 2.50 (3 x 10)", "1.00", "2.00", ""],
        ["torch", "4.00", "3.90 to 4.10 (3 x 5)", "2.00", "4.00", "eager"],
        ["jax", "-", "", "", "", "no jax"],
        ["ideal", "1.00", "", "0.50", "", ""],
    ]
    assert text.startswith("### A step\n")
    assert text.endswith("Note.")


def test_a_result_survives_json():
    result = Result("title", "MB", [Row("a", 1.0, 0.5, 2.0, 3, 4), Row("b", note="missing")], 0.25, {"x": 1}, ["n"])
    assert Result.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_every_kernel_has_a_line():
    assert set(kernels.all_kernels()) <= set(kernels.LINES), "give the new kernel a line in benchmarks/kernels.py"


@pytest.mark.parametrize("name", list(kernels.all_kernels()))
def test_the_line_of_a_kernel_fits(name, monkeypatch):
    monkeypatch.setattr(kernels, "P", 100)
    monkeypatch.setattr(kernels, "SHAPE", (4, 5))
    for task in kernels.tasks_of(name, kernels.all_kernels()[name]):
        task.call()


# -- the program --------------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch):
    """Blocks of one call, without pauses."""
    monkeypatch.setattr("benchmarks.timing.PAUSE", 0)
    monkeypatch.setattr("benchmarks.timing.BLOCK", 0)
    return Options(repeats=1, only=("nice_np",), quick=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of PyTorch's compiler, about itself
@pytest.mark.parametrize("name", ["torch", glow.CHANNELS_LAST, "torch-fused", "torch-compile", "jax"])
def test_glow_has_the_same_loss_and_the_same_steps(name):
    """Three steps, so that gradients count; the others have free matrices where the flow has triangular ones."""
    flow = nice_np.glow(glow.SHAPE, steps=1, channels=4, dense=1, hidden=(8,), rng=0)
    x = glow.data(3)
    losses = []
    for contender in (name, "jax" if name == "torch" else "torch"):
        try:
            step = glow.build(contender, flow, x)
        except Unavailable as reason:
            pytest.skip(str(reason))
        losses.append([step.loss(step.wait(step.call())) for _ in range(3)])
    assert losses[0][0] == pytest.approx(-flow.log_prob(x).mean(), rel=1e-4)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][2] < losses[0][0] * (1 - 1e-3)


def test_products_of_glow_are_three_for_each_matrix():
    flow = nice_np.glow(glow.SHAPE, steps=1, channels=4, dense=1, hidden=(8,), rng=0)
    products = glow.products(flow, 2)
    # 3 1x1 convolutions; two GlowNets with three layers and one with one; an MLP with two
    assert len(products) == 3 * (3 + 2 * 3 + 1 + 2)
    assert products[0].left.shape == (2 * 196, 4)
    assert products[0].right.shape == (4, 4)
    for left, right, out in products:
        assert out.shape == (left.shape[0], right.shape[1])


def test_density_and_latents(hasty):
    for result in (density.measure_log_prob(TINY, 20, hasty), density.measure_sampling(TINY, 20, hasty)):
        assert [row.name for row in result.rows] == ["nice_np"]
        assert result.ideal > 0
    result = latent.measure(TINY, hasty)
    assert len(result.rows) == 5
    assert {"backward_ratio", "inverse_backward_ratio"} <= set(result.facts)


def test_recomputed_activations_give_the_same_gradient():
    try:
        contender = NumpyModel(TINY, recompute=True)
    except Unavailable as reason:
        pytest.skip(str(reason))
    x = TINY.data(TINY.batch)
    compare("recompute", contender.loss_and_gradients(x), build("nice_np", TINY).loss_and_gradients(x))


@pytest.mark.slow
def test_startup_and_memory_in_processes_of_their_own(hasty, monkeypatch):
    names = [row.name for row in startup.measure(TINY, hasty).rows]
    assert names[:2] == ["import numpy", "import nice_np"]
    assert "nice_np, cold: start to first step" in names
    monkeypatch.setattr("benchmarks.memory.QUICK_DEPTHS", (3,))
    ours, recomputed = memory.measure(replace(TINY, batch=100_000), hasty).rows
    assert ours.name == "nice_np, 3 couplings"
    assert recomputed.name == "nice_np-recompute, 3 couplings"
    assert (ours.median or 0) > 1 or ours.note  # MB; or there is no psutil, or no report of the peak


@pytest.mark.slow
def test_quick_run(tmp_path, capsys):
    assert main(["--quick", "--cases", "toy,small", "--only", "nice_np,torch,jax", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "benchmarks.json").read_text())
    assert set(written) == {"machine", "settings", "cases"}
    assert {"cpu", "cores", "system", "python", "versions", "blas", "date"} <= set(written["machine"])
    assert list(written["cases"]) == ["toy", "small"]
    for case in written["cases"].values():
        ours, *others = case["rows"]
        assert ours["name"] == "nice_np"
        assert 0 < ours["q1"] <= ours["median"] <= ours["q3"]
        assert [row["name"] for row in others] == ["torch", "jax"]
        assert all(row["median"] or "not installed" in row["note"] for row in others)
        assert {"parameters", "products_ms", "products_gflops"} <= set(case["facts"])
        assert case["title"] in printed
        assert case["title"] in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "papr"], "argument --cases: 'papr' is none of paper, digits, small, toy"),
        (["--only", "nice_np,jaxx"], "argument --only: 'jaxx' is none of nice_np, nice_np-mkl, torch"),
        (["--repeats", "0"], "argument --repeats: '0' is not a number of rounds"),
    ],
)
def test_a_typo_gives_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_help_lists_cases_and_contenders(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    printed = capsys.readouterr().out
    assert "startup" in printed
    assert "torch-compile" in printed


def test_ctrl_c_ends_with_one_line(monkeypatch, tmp_path, capsys):
    def interrupted(name, options):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.__main__.measure", interrupted)
    assert main(["--cases", "toy", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("Interrupted")


def test_a_case_that_fails_does_not_stop_the_others(monkeypatch, tmp_path, capsys):
    from benchmarks.child import ChildError

    def measure(name, options):
        if name == "toy":
            raise ChildError("torch: 1 where nice_np has 2")
        return Result("the other", rows=[Row("nice_np", 1.0, 1.0, 1.0, 1, 1)])

    monkeypatch.setattr("benchmarks.__main__.measure", measure)
    assert main(["--cases", "toy,small", "--out", str(tmp_path)]) == 1
    assert "toy: torch: 1 where nice_np has 2" in capsys.readouterr().err
    assert list(json.loads((tmp_path / "benchmarks.json").read_text())["cases"]) == ["small"]
