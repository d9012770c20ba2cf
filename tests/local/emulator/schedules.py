# SPDX-License-Identifier: Apache-2.0
"""EventBridge Scheduler and scheduled rules, at the cloud's speed.

`rate(1 minute)` at speed 20 fires every 3 seconds. A cron expression names moments of the day and
stays as it is, in the schedule's own time zone.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ministack.core import arn as arns
from ministack.core import responses
from ministack.services import eventbridge, scheduler

import functions
from internals import Internals

_eventbridge = Internals(
    eventbridge,
    "_SCHEDULER_TICK_INTERVAL",
    "_cron_next_fire",
    "_dispatch_to_sqs",
    "_invoke_target",
    "_parse_cron_fields",
    "_parse_rate_seconds",
    "_pattern_event_view",
)
_scheduler = Internals(
    scheduler,
    "_SCHEDULE_TICK_INTERVAL",
    "_schedules",
    "_tick_schedules",
    "_to_epoch",
    "logger",
)


def install(speed: float) -> None:
    """Shortens rates, quickens both tickers and puts our own due-and-fire into Scheduler's."""
    tick = min(1.0, 5 / speed)  # a twelfth of the shortest rate at most
    ticker = _Ticker()
    _eventbridge.replace("_parse_rate_seconds", lambda original: _scaled(original, speed))
    _eventbridge.set("_SCHEDULER_TICK_INTERVAL", tick)
    _scheduler.set("_SCHEDULE_TICK_INTERVAL", tick)
    _scheduler.replace("_tick_schedules", lambda _original: ticker.tick)


def _scaled(original: Any, speed: float) -> Any:
    def parse_rate_seconds(expression: str) -> float | None:
        seconds = original(expression)
        return None if seconds is None else seconds / speed

    return parse_rate_seconds


class _Ticker:
    """Remembers when each schedule is due next."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str, str], tuple[str, float | None]] = {}

    def tick(self) -> None:
        """Fires what is due, each in its own account and Region."""
        now = time.time()
        schedules = _scheduler._schedules._data
        for key in self._due.keys() - schedules.keys():
            del self._due[key]
        for key, schedule in list(schedules.items()):
            responses.set_request_account_id(key[0])
            responses.set_request_region(key[1])
            if self._is_due(key, schedule, now):
                _fire(schedule, now)

    def _is_due(self, key: tuple[str, str, str], schedule: dict[str, Any], now: float) -> bool:
        expression = f"{schedule['ScheduleExpression']} {schedule.get('ScheduleExpressionTimezone')}"
        known, due = self._due.get(key, ("", None))
        if known != expression:
            due = next_fire(schedule, float(schedule.get("CreationDate", now)))
            self._due[key] = (expression, due)
        if due is None or now < due:
            return False
        rate = _eventbridge._parse_rate_seconds(schedule["ScheduleExpression"])
        # A rate keeps its rhythm; missed beats are not made up for.
        following = due + rate * (1 + (now - due) // rate) if rate else next_fire(schedule, now)
        self._due[key] = (expression, following)
        return schedule.get("State") == "ENABLED" and _within_dates(schedule, now)


def next_fire(schedule: dict[str, Any], after: float) -> float | None:
    """When the schedule fires next after the moment `after`; None for never."""
    expression = schedule["ScheduleExpression"]
    zone = ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")
    if expression.startswith("at("):
        moment = datetime.fromisoformat(expression[3:].rstrip(") ")).replace(tzinfo=zone).timestamp()
        return moment if moment > after else None
    rate = _eventbridge._parse_rate_seconds(expression)
    if rate is not None:
        return after + rate
    fields = _eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    # The walk over cron fields knows no zones: it walks local time that is called UTC.
    local = datetime.fromtimestamp(after, tz=zone).replace(tzinfo=UTC)
    found = _eventbridge._cron_next_fire(fields, local)
    return None if found is None else found.replace(tzinfo=zone).timestamp()


def _within_dates(schedule: dict[str, Any], now: float) -> bool:
    epoch = _scheduler._to_epoch
    start, end = epoch(schedule.get("StartDate")), epoch(schedule.get("EndDate"))
    return (start is None or now >= start) and (end is None or now <= end)


def _fire(schedule: dict[str, Any], due: float) -> None:
    target = schedule.get("Target") or {}
    arn = target.get("Arn", "")
    event = _event(schedule, due)
    payload = _input(target, schedule, event)
    try:
        if arn.split(":")[2] == "lambda":
            functions.deliver(arn, payload)
        else:
            _eventbridge._invoke_target({**target, "Input": payload}, event, schedule)
    except Exception as error:  # one schedule must not stop the others
        _scheduler.logger.warning("schedule `%s`: %s", schedule.get("Name"), error)
        _to_dead_letters(target, payload)


def _event(schedule: dict[str, Any], due: float) -> dict[str, Any]:
    return {
        "EventId": responses.new_uuid(),
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": due,
        "Resources": [schedule.get("Arn", "")],
        "Account": responses.get_account_id(),
        "Region": responses.get_region(),
    }


def _input(target: dict[str, Any], schedule: dict[str, Any], event: dict[str, Any]) -> str:
    """The target's Input with Scheduler's keywords filled in, or the whole event without one."""
    text = target.get("Input")
    if not text:
        return json.dumps(_eventbridge._pattern_event_view(event).event_with_detail())
    moment = datetime.fromtimestamp(event["Time"], tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = {
        "<aws.scheduler.scheduled-time>": moment,
        "<aws.scheduler.execution-id>": event["EventId"],
        "<aws.scheduler.attempt-number>": "1",
        "<aws.scheduler.schedule-arn>": schedule.get("Arn", ""),
    }
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _to_dead_letters(target: dict[str, Any], payload: str) -> None:
    """What could not be delivered goes to the target's queue at once, without the retries of AWS."""
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue:
        _eventbridge._dispatch_to_sqs(arns.parse_arn(queue), payload)
