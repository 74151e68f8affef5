"""``/p/<project>/sweeps/<id>``: one sweep."""

from __future__ import annotations

from hpctrack.errors import HpctrackError, InvalidNameError, NotFoundError
from hpctrack_server.components import sweep_view
from hpctrack_server.pages.guarded import Guarded


class SweepPage(Guarded):
    """What it has found, and how far it is; its charts fetch their numbers themselves."""

    async def get(self, project: str, sweep_id: str) -> None:
        """Answer with the page; a sweep that cannot be read says why."""
        try:
            found = await self.services.sweeping.call(
                self.services.sweeps.overview, project, sweep_id
            )
        except (InvalidNameError, NotFoundError):
            raise
        except HpctrackError as error:
            message = error.message.replace(f"{self.services.provider.path}/", "")
            self.show(
                "sweeps/broken.html", project=project, current="sweeps", sweep_id=sweep_id,
                message=message, hint=error.hint,
            )  # fmt: skip
            return
        asking = found["asking"]
        total = found["sweep"]["trial_count"]
        state = sweep_view.describe_state(
            found["counts"], asking.wish, over=found["over"], total=total
        )
        self.show(
            "sweeps/sweep.html",
            project=project,
            current="sweeps",
            found=found,
            sweep=found["sweep"],
            sweep_id=sweep_id,
            state=state,
            total=total,
            asking=asking,
            asks=sweep_view.list_asks(asking.wish, state),
            request_state=sweep_view.describe_request(
                asking.request, asking.taken, found["counts"]
            ),
            segments=sweep_view.make_segments(found["counts"], total),
            best=sweep_view.list_best(found),
            winner=sweep_view.find_winner(found),
            parameters=sweep_view.list_parameters(found),
            numeric=sweep_view.find_numeric(found),
            failures=sweep_view.list_failures(found),
            failures_shown=sweep_view.FAILURES_SHOWN,
            find_parameter=sweep_view.find_parameter,
        )
