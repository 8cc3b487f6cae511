"""How many threads BLAS has: a library, a clock and a machine made of three lines each."""

import numpy as np
import pytest

from nice_np import _blas as module
from nice_np import fit, nice
from nice_np._blas import PATIENCE, SET_BY_USER, BlasThreads
from nice_np.flows import model
from nice_np.training import parallel


class Library:
    """A BLAS as threadpoolctl shows one."""

    def __init__(self, num_threads, filepath="numpy"):
        self.num_threads, self.filepath = num_threads, filepath

    def set_num_threads(self, n):
        self.num_threads = n


class Machine:
    """Products per second by number of threads, on an idle machine unless `speeds` is changed; a look takes no time."""

    def __init__(self, cores):
        self.blas, self.now, self.looks = Library(cores), 0.0, 0
        self.speeds = {n: float(n) for n in range(1, cores + 1)}
        self.threads = BlasThreads(self.speed, lambda: [self.blas], lambda: self.now)

    def speed(self):
        self.now += 0.01
        self.looks += 1
        return self.speeds[self.blas.num_threads]

    def work(self, seconds):
        """Steps of a tenth of a second, with a look before each, and how many threads there were in the last one."""
        for _ in range(round(10 * seconds)):
            self.threads.look()
            self.now += 0.1
        return self.blas.num_threads


@pytest.fixture
def machine(monkeypatch):
    for name in SET_BY_USER:
        monkeypatch.delenv(name, raising=False)
    return Machine(4)


def test_the_number_follows_the_load_and_is_put_back(machine):
    with machine.threads.following_load(at_once=True):
        assert machine.work(0.1) == 4
        machine.speeds = {1: 1.0, 2: 1.2, 4: 0.1}  # one program beside it
        assert machine.work(5) == 2
        machine.speeds = {1: 0.5, 2: 0.1, 4: 0.02}  # many
        assert machine.work(10) == 1
        machine.speeds = {1: 1.0, 2: 2.0, 4: 4.0}
        assert machine.work(20) == 4
    assert machine.blas.num_threads == 4


def test_one_odd_look_in_twenty_is_not_believed(machine):
    machine.speeds = {1: 1.0, 2: 0.5, 4: 0.2}
    with machine.threads.following_load(at_once=True):
        machine.work(20)
        machine.speeds = {1: 1.0, 2: 0.5, 4: 1.7}
        assert machine.work(2.1) == 1


def test_looks_cost_a_fiftieth_of_the_time(machine):
    with machine.threads.following_load(at_once=True):
        machine.work(100)
    assert machine.looks / 3 == pytest.approx(100 / (PATIENCE * 0.03), rel=0.1)  # 3 numbers, 0.01 s each


def test_short_calls_look_once_they_have_worked_long_enough_together(machine):
    machine.speeds = {1: 1.0, 2: 0.5, 4: 0.2}
    seen = []
    for _ in range(30):
        with machine.threads.following_load():
            seen.append(machine.blas.num_threads)
            machine.now += 0.1
        assert machine.blas.num_threads == 4
    assert (seen[0], seen[-1]) == (4, 1)
    machine.now += 1000  # not work of ours
    looks = machine.looks
    with machine.threads.following_load():
        machine.now += 0.1
    assert machine.looks == looks


def test_a_block_within_another_changes_nothing(machine):
    with machine.threads.following_load(at_once=True):
        machine.work(0.1)
        machine.speeds = {1: 1.0, 2: 0.5, 4: 0.2}
        machine.now += 100
        with machine.threads.following_load(at_once=True):
            assert machine.blas.num_threads == 4
        assert machine.blas.num_threads == 4


def test_a_fixed_number_holds_inside_and_outside(machine):
    machine.speeds = {1: 1.0, 2: 0.5, 4: 0.2}
    with machine.threads.fixed(), machine.threads.following_load(at_once=True):
        assert machine.work(10) == 4
    with machine.threads.following_load(at_once=True):
        assert machine.work(0.1) == 1
        with machine.threads.fixed(2):
            assert machine.work(10) == 2
            with machine.threads.fixed(1):
                assert machine.work(1) == 1
            assert machine.work(1) == 2
        assert machine.work(0.1) == 1
    assert machine.blas.num_threads == 4


def test_a_library_that_is_loaded_later_is_limited_and_put_back_as_well(machine):
    late, threads = Library(8, "scipy"), machine.threads
    with threads.following_load(at_once=True):
        threads.libraries = lambda: [machine.blas, late]
        with threads.fixed(1):
            assert (machine.blas.num_threads, late.num_threads) == (1, 1)
    assert (machine.blas.num_threads, late.num_threads) == (4, 8)


def test_after_an_error_the_number_is_put_back(machine):
    with pytest.raises(ZeroDivisionError), machine.threads.fixed(1):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), machine.threads.following_load(at_once=True):
        raise ZeroDivisionError
    assert machine.blas.num_threads == 4


@pytest.mark.parametrize("name", SET_BY_USER)
def test_a_number_that_the_user_set_stays(name, machine, monkeypatch):
    monkeypatch.setenv(name, "4")
    with machine.threads.following_load(at_once=True):
        machine.work(10)
    assert machine.looks == 0


@pytest.mark.parametrize("libraries", [[], [Library(1)]])
def test_where_there_is_nothing_to_choose_there_is_no_look(libraries, machine):
    searches = []
    threads = BlasThreads(machine.speed, lambda: searches.append(1) or libraries, lambda: machine.now)
    for _ in range(3):
        with threads.following_load(at_once=True):
            machine.now += 100
            threads.look()
    assert len(searches) == 1  # which takes a millisecond
    with threads.fixed(1), threads.fixed():
        pass
    assert machine.looks == 0


def test_speed_counts_products(monkeypatch):
    times = iter([0.0, 0.002, 0.004, 0.02])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    assert module.speed() == 2 / 0.02


@pytest.fixture
def noted(monkeypatch, machine):
    """The numbers of threads that a model's gradients were computed with, while 1 is the fastest."""
    machine.speeds = {1: 1.0, 2: 0.5, 4: 0.2}
    seen = []
    monkeypatch.setattr(parallel, "BLAS", machine.threads)
    original = parallel.by_one_thread

    def by_one_thread(*args):
        source = original(*args)
        return lambda x, extra: (seen.append(machine.blas.num_threads), source(x, extra))[1]

    monkeypatch.setattr(parallel, "by_one_thread", by_one_thread)
    return seen


@pytest.mark.parametrize(("threads", "expected"), [(None, {1}), (1, {4}), (2, {1})])
def test_fit_takes_the_fastest_number_unless_it_is_given_one(threads, expected, noted, machine, rng):
    flow = nice(4, hidden=(8,), activation="tanh", rng=0)
    fit(flow, rng.normal(size=(20, 4)), epochs=2, batch_size=10, threads=threads, progress=False, rng=0)
    assert set(noted) == expected
    assert machine.blas.num_threads == 4


def test_log_prob_follows_the_load(machine, monkeypatch, rng):
    flow, x, seen = nice(4, hidden=(8,), rng=0), rng.normal(size=(3, 4)), []
    original = flow.prior.log_prob
    monkeypatch.setattr(flow.prior, "log_prob", lambda z: (seen.append(machine.blas.num_threads), original(z))[1])
    machine.speeds, machine.threads.worked = {1: 1.0, 2: 0.5, 4: 0.2}, np.inf
    monkeypatch.setattr(model, "BLAS", machine.threads)
    flow.log_prob(x)
    assert set(seen) == {1}
    assert machine.blas.num_threads == 4
