import pytest

from thalweg.measure.sampling import SampleSchedule


def play(schedule, now, steps, *, plain, watched, first=0):
    """Steps through a training on a made-up clock; the watched steps."""
    seen = []
    for step in range(first, first + steps):
        if schedule.due(step):
            with schedule.watching(step):
                now[0] += watched
            seen.append(step)
        else:
            now[0] += plain
    return seen


def make(share):
    now = [0.0]
    return SampleSchedule(share, clock=lambda: now[0]), now


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("watched", [1.5e-3, 3e-3])
def test_the_share_of_time_is_kept(share, watched):
    schedule, now = make(share)
    seen = play(schedule, now, 200_000, plain=1e-3, watched=watched)
    spent = len(seen) * (watched - 1e-3) / 200
    assert 0.9 * share < spent <= share


def test_the_beginning_is_watched_then_ever_less_often():
    schedule, now = make(0.01)
    assert play(schedule, now, 700, plain=1e-3, watched=2e-3) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_a_pause_between_two_steps_does_not_raise_the_share():
    schedule, now = make(0.01)
    seen = play(schedule, now, 5000, plain=1e-3, watched=2e-3)
    now[0] += 100.0  # a validation pass
    seen += play(schedule, now, 95_000, plain=1e-3, watched=2e-3, first=5000)
    assert len(seen) * 1e-3 / 100 <= 0.01


def test_a_plain_step_that_was_held_up_is_timed_again():
    """The only plain step so far took 50 times as long: watching seems free, until the next plain one."""
    schedule, now = make(0.01)
    seen = play(schedule, now, 3, plain=1e-3, watched=2e-3)
    seen += play(schedule, now, 1, plain=0.05, watched=2e-3, first=3)
    seen += play(schedule, now, 9996, plain=1e-3, watched=2e-3, first=4)
    assert len(seen) * 1e-3 / 10 <= 0.011


def test_a_resumed_run_is_watched_again():
    schedule, now = make(0.01)
    assert play(schedule, now, 500, plain=1e-3, watched=2e-3, first=70_001)[:2] == [70_001, 70_011]


def test_no_share_watches_nothing():
    schedule, now = make(0.0)
    assert play(schedule, now, 100, plain=1e-3, watched=2e-3) == []
