"""World: one process alone answers every question by itself."""

from trainhooks import World


def test_a_process_alone_is_the_main_one_and_agrees_with_itself() -> None:
    world = World()
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert (world.any(True), world.any(False), world.mean(0.25, weight=3), world.broadcast("x")) == (
        True,
        False,
        0.25,
        "x",
    )
    world.barrier()
