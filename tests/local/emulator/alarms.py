# SPDX-License-Identifier: Apache-2.0
"""CloudWatch alarms as AWS evaluates them, at the cloud's speed.

ministack lumps all datapoints of a metric name together, whatever their dimensions, and never looks
again when data stop. Here an alarm has periods, M out of N, dimensions and missing data; it is
evaluated when data arrive and once more at every tick. A period is `Period / speed` seconds.

The rules for missing data are those of the CloudWatch user guide ("How CloudWatch evaluates alarms
with missing data"). Metric math and anomaly detection are not modelled.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch, eventbridge, sns

import functions
from internals import Internals

_cloudwatch = Internals(
    cloudwatch,
    "_alarms",
    "_calc_stats",
    "_dims_from_list",
    "_dims_key",
    "_dispatch_alarm_actions",
    "_evaluate_alarm",
    "_evaluate_parent_alarms",
    "_metrics",
    "_record_history",
    "_stat_value",
    "logger",
)
_eventbridge = Internals(
    eventbridge,
    "_put_events",
)
_sns = Internals(
    sns,
    "_fanout",
)

# Periods that are looked at beyond EvaluationPeriods. The user guide's examples show two.
_EXTRA_PERIODS = 2

# Their value within an unfinished period says nothing yet.
_GROWING_STATISTICS = {"Sum", "SampleCount"}

_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def install(speed: float) -> None:
    """Puts this evaluation in ministack's place and starts the tick."""
    judge = _Judge(speed)
    _cloudwatch.replace("_evaluate_alarm", lambda _original: judge.evaluate)
    _cloudwatch.replace("_dispatch_alarm_actions", lambda _original: dispatch)
    # CloudWatch's shortest period is ten seconds.
    threading.Thread(target=judge.tick_for_ever, args=(10 / speed,), daemon=True, name="alarm-tick").start()


# ---- the decision, pure ----------------------------------------------------------------------


def decide(breaches: list[bool | None], needed: int, of: int, missing: str) -> str | None:
    """The alarm's state, or None to keep it.

    `breaches` is the evaluation range, newest first; None is a period without data. `needed` of `of`
    periods must breach. `missing` is TreatMissingData.
    """
    real = [breach for breach in breaches if breach is not None]
    if len(real) >= of:
        return _state(sum(real[:of]) >= needed)
    bad, absent = sum(real), of - len(real)
    if missing == "breaching":
        return _state(bad + absent >= needed)
    if missing == "notBreaching":
        return _state(bad >= needed)
    if bad >= needed:
        return "ALARM"
    if not real:
        return None if missing == "ignore" else "INSUFFICIENT_DATA"
    if not all(real):
        return "OK"
    # Only bad data, but too little: "missing" rings early once the oldest is as old as `needed`.
    oldest = max(index for index, breach in enumerate(breaches) if breach)
    return "ALARM" if missing == "missing" and oldest + 1 >= needed else None


def _state(breaching: bool) -> str:
    return "ALARM" if breaching else "OK"


# ---- evaluation ------------------------------------------------------------------------------


class _Judge:
    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.RLock()

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Evaluates one alarm of the current account and Region, and tells of a change."""
        compare = _COMPARISONS.get(alarm.get("ComparisonOperator", ""))
        if compare is None or not alarm.get("MetricName"):
            return
        with self._lock:
            of = int(alarm.get("EvaluationPeriods", 1))
            values = self._values(alarm, of + _EXTRA_PERIODS)
            threshold = float(alarm.get("Threshold", 0))
            breaches = [None if value is None else compare(value, threshold) for value in values]
            if all(breach is None for breach in breaches) and self._is_new(alarm, of):
                return
            needed = int(alarm.get("DatapointsToAlarm") or of)
            state = decide(breaches, needed, of, alarm.get("TreatMissingData") or "missing")
            if state is not None and state != alarm["StateValue"]:
                _change(alarm, state, _reason(alarm, values, state))

    def _period(self, alarm: dict[str, Any]) -> float:
        return float(alarm.get("Period", 60)) / self._speed

    def _is_new(self, alarm: dict[str, Any], of: int) -> bool:
        """An alarm without any data is left alone until its first window is over."""
        return time.time() - alarm.get("AlarmConfigurationUpdatedTimestamp", 0) < of * self._period(alarm)

    def _values(self, alarm: dict[str, Any], count: int) -> list[float | None]:
        """The statistic of the newest `count` periods, newest first."""
        period = self._period(alarm)
        buckets: dict[int, list[dict[str, Any]]] = {}
        for point in _points(alarm):
            buckets.setdefault(int(point["Timestamp"] // period), []).append(point)
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        newest = int(time.time() // period)
        if newest not in buckets or statistic in _GROWING_STATISTICS:
            newest -= 1  # a period that still runs is not missing
        return [_statistic(buckets.get(newest - back), statistic) for back in range(count)]

    def tick_for_ever(self, interval: float) -> None:
        """Evaluates every alarm of every Region, for those whose data stopped."""
        pause = threading.Event()
        while not pause.wait(interval):
            for (account, region, _), alarm in list(_cloudwatch._alarms._data.items()):
                responses.set_request_account_id(account)
                responses.set_request_region(region)
                try:
                    self.evaluate(alarm)
                except Exception:  # one broken alarm must not silence the others
                    _cloudwatch.logger.exception("alarm `%s` of %s", alarm.get("AlarmName"), region)


def _points(alarm: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The datapoints of exactly the alarm's metric: namespace, name, dimensions, unit."""
    dimensions = _cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
    key = (alarm["Namespace"], alarm["MetricName"], _cloudwatch._dims_key(dimensions))
    unit = alarm.get("Unit")
    for point in list(_cloudwatch._metrics.get(key) or []):
        if not unit or point.get("Unit") == unit:
            yield point


def _statistic(points: list[dict[str, Any]] | None, name: str) -> float | None:
    if not points:
        return None
    return _cloudwatch._stat_value(_cloudwatch._calc_stats(points), name, points)


def _reason(alarm: dict[str, Any], values: list[float | None], state: str) -> str:
    of = int(alarm.get("EvaluationPeriods", 1))
    real = [value for value in values if value is not None][:of]
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: no datapoints were received for {of} period(s)."
    if not real:
        treated = "Breaching" if state == "ALARM" else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {of} period(s) "
            f"and {of} missing datapoint(s) were treated as [{treated}]."
        )
    return (
        f"Threshold Crossed: {len(real)} datapoint(s) {real} evaluated with "
        f"{alarm['ComparisonOperator']} ({alarm.get('Threshold')})."
    )


def _change(alarm: dict[str, Any], state: str, reason: str) -> None:
    old = alarm["StateValue"]
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    _cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
    dispatch(alarm, old, state, reason)
    _cloudwatch._evaluate_parent_alarms(alarm)


# ---- actions ---------------------------------------------------------------------------------

_ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


def dispatch(alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
    """The three ways in which a change leaves CloudWatch: SNS, Lambda, and EventBridge (always)."""
    now = datetime.now(UTC)
    _eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.cloudwatch",
                    "DetailType": "CloudWatch Alarm State Change",
                    "Resources": [alarm["AlarmArn"]],
                    "Detail": json.dumps(_state_change(alarm, old, new, reason, now)),
                }
            ]
        },
        allow_aws_source=True,
    )
    if not alarm.get("ActionsEnabled", True):
        return
    for action in alarm.get(_ACTIONS.get(new, "")) or []:
        service = action.split(":")[2] if action.count(":") > 4 else ""
        try:
            if service == "sns":
                message = json.dumps(_sns_message(alarm, old, new, reason, now))
                subject = f'{new}: "{alarm["AlarmName"]}" in {responses.get_region()}'[:100]
                _sns._fanout(action, responses.new_uuid(), message, subject)
            elif service == "lambda":
                functions.deliver(action, json.dumps(_lambda_event(alarm, old, new, reason, now)))
            else:
                _cloudwatch.logger.warning("alarm action `%s` is not modelled", action)
        except Exception:  # an action that fails must not stop the next one
            _cloudwatch.logger.exception("alarm action `%s`", action)


def _is_composite(alarm: dict[str, Any]) -> bool:
    return "AlarmRule" in alarm


def _stamp(moment: datetime) -> str:
    """CloudWatch's way of writing time: `2026-11-21T03:00:00.000+0000`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def _state_change(alarm: dict[str, Any], old: str, new: str, reason: str, now: datetime) -> dict[str, Any]:
    if _is_composite(alarm):
        configuration: dict[str, Any] = {"alarmRule": alarm["AlarmRule"]}
    else:
        metric = {
            "namespace": alarm["Namespace"],
            "name": alarm["MetricName"],
            "dimensions": {item["Name"]: item["Value"] for item in alarm.get("Dimensions") or []},
        }
        statistic = {"metric": metric, "period": alarm.get("Period", 60), "stat": alarm.get("Statistic")}
        configuration = {"metrics": [{"id": "m1", "metricStat": statistic, "returnData": True}]}
    return {
        "alarmName": alarm["AlarmName"],
        "state": {"value": new, "reason": reason, "timestamp": _stamp(now)},
        "previousState": {"value": old},
        "configuration": configuration | {"description": alarm.get("AlarmDescription") or ""},
    }


def _lambda_event(alarm: dict[str, Any], old: str, new: str, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm["AlarmArn"],
        "accountId": responses.get_account_id(),
        "time": _stamp(now),
        "region": responses.get_region(),
        "alarmData": _state_change(alarm, old, new, reason, now),
    }


def _sns_message(alarm: dict[str, Any], old: str, new: str, reason: str, now: datetime) -> dict[str, Any]:
    message = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": responses.get_account_id(),
        "NewStateValue": new,
        "NewStateReason": reason,
        "StateChangeTime": _stamp(now),
        "Region": responses.get_region(),
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old,
        "OKActions": alarm.get("OKActions") or [],
        "AlarmActions": alarm.get("AlarmActions") or [],
        "InsufficientDataActions": alarm.get("InsufficientDataActions") or [],
    }
    if _is_composite(alarm):
        return message | {"AlarmRule": alarm["AlarmRule"]}
    trigger = {
        "MetricName": alarm["MetricName"],
        "Namespace": alarm["Namespace"],
        "StatisticType": "Statistic",
        "Statistic": str(alarm.get("Statistic") or "").upper(),
        "Unit": alarm.get("Unit"),
        "Dimensions": [{"value": item["Value"], "name": item["Name"]} for item in alarm.get("Dimensions") or []],
        "Period": alarm.get("Period", 60),
        "EvaluationPeriods": alarm.get("EvaluationPeriods", 1),
        "DatapointsToAlarm": alarm.get("DatapointsToAlarm") or alarm.get("EvaluationPeriods", 1),
        "ComparisonOperator": alarm.get("ComparisonOperator"),
        "Threshold": alarm.get("Threshold"),
        "TreatMissingData": alarm.get("TreatMissingData") or "missing",
        "EvaluateLowSampleCountPercentile": "",
    }
    return message | {"Trigger": trigger}
