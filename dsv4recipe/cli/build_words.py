"""Floor 6, cli. What a build says in words: where it stands, what is rare, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsv4recipe.builder.events import Compiling, Done, Event, PlanLoaded, Resumed, ZerosFound
from dsv4recipe.builder.zeros import told
from dsv4recipe.cli.cluster_view import cluster_line
from dsv4recipe.cli.colours import rendered
from dsv4recipe.cli.pace import Pace
from dsv4recipe.units import counted, gigabytes, human_size

_COMPILING = "compiling the encoders for this machine, once: some 20 seconds"
_SLOW_SECONDS = 60.0


def duration(seconds: float) -> str:
    """86000 → "23 h 53 min"; 75 → "1 min 15 s"; 8 → "8 s"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def rate(per_second: float, unit: str = "B/s") -> str:
    """543e6 → "543 MB/s"; with "weights/s" → "543 million weights/s"."""
    names = ("", "thousand ", "million ", "billion ") if unit == "weights/s" else ("", "k", "M", "G")
    power = 0
    while per_second >= 999.5 and power < 3:
        per_second, power = per_second / 1000, power + 1
    number = f"{per_second:.0f}" if per_second >= 100 or not power else f"{per_second:.3g}"
    return f"{number} {names[power]}{unit}"


def left(pace: Pace, now: float) -> str:
    """Returns how long it still takes, or why that is not known yet."""
    seconds = pace.seconds_left(now)
    if seconds is None:
        return "time left: known once the encoders are compiled" if pace.compiling is not None else ""
    return f"about {duration(seconds)} left"


def standing(pace: Pace, now: float) -> str:
    """Returns "shard 3 of 45, 7 %, 543 MB/s, 1.07 billion weights/s, about 5 min left"."""
    parts = [f"shard {min(pace.done, pace.shards)} of {pace.shards}", f"{100 * pace.share():.0f} %"]
    if pace.bytes_per_second(now):
        parts.append(rate(pace.bytes_per_second(now)))
        if pace.weights:
            parts.append(rate(pace.weights_per_second(now), "weights/s"))
    if pace.share() < 0.995 and (words := left(pace, now)):
        parts.append(words)
    return ", ".join(parts)


def resumed(event: Resumed) -> str:
    done = counted(event.shards, "shard") if event.shards else "a part of the file"
    return f"continuing: {done} done, {gigabytes(event.bytes)}"


def first_words(event: PlanLoaded) -> Iterator[str]:
    """Yields what is said when the plan is loaded: what comes from the hub, how far it is checked, what is slow."""
    found = event.download
    if found and found["bytes"]:  # else a folder, or a build that only has to be closed
        yield f"downloading {human_size(found['bytes'])} through {human_size(found['scratch'])} of scratch"
        if not found["whole_files"]:
            yield "note: most bytes of the files are not needed, so ranges come, and no sha256 is checked"
        elif found["scratch"] < found["whole_files"]:
            room = human_size(found["whole_files"])
            yield f"note: the scratch holds no whole files, so no sha256 is checked; from {room} on it is"
    if event.seconds and event.seconds > _SLOW_SECONDS:
        long = duration(event.seconds)
        yield f"{event.slowest} is slow to find: about {long} in all, estimated from a moment's run on this machine"


def rare(event: Event) -> tuple[str, ...]:
    """Returns what is said in full of a rare event."""
    if isinstance(event, ZerosFound):
        return (rendered(told(event.tensors)),)
    return (_COMPILING,) if isinstance(event, Compiling) else tuple(cluster_line(event))


def last_words(event: Done, pace: Pace, now: float) -> Iterator[str]:
    """Yields the end: where the bundle is, and how long it took at which rate."""
    verb = "already built" if event.already else "built"
    yield f"{verb}: {event.out}, {human_size(event.bytes)} of tensors"
    made = pace.written - pace.there
    if made > 0:
        average = pace.average(now)
        weights = f", {rate(average * pace.weights / pace.total, 'weights/s')}" if pace.weights and pace.total else ""
        compiled = f", of it {duration(pace.paused)} compiling" if pace.paused >= 1 else ""
        kept = f"; {gigabytes(pace.there)} were there" if pace.there else ""
        took = now - pace.begun
        long = f"{took:.1f} s" if took < 10 else duration(took)
        yield f"in {long}{compiled}: {rate(average)}{weights}{kept}"
