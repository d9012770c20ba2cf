# SPDX-License-Identifier: Apache-2.0
"""CloudFormation: resource types that ministack does not know, and properties that it loses.

A handler here only calls the service's own functions, so that a resource from a template and one
from an API call are the same thing. Never in here: behaviour of the service itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from ministack.services import cloudwatch, lambda_svc, route53, s3, scheduler
from ministack.services.cloudformation import provisioners

from internals import Internals

_cloudwatch = Internals(
    cloudwatch,
    "_composite_alarms",
    "_put_composite_alarm",
)
_lambda_svc = Internals(
    lambda_svc,
    "_functions",
)
_provisioners = Internals(
    provisioners,
    "_RESOURCE_HANDLERS",
    "_physical_name",
    "_r53_record_set_build_rs",
    "_r53_resolve_hosted_zone_id",
)
_route53 = Internals(
    route53,
    "_build_health_check_el",
    "_hc_caller_refs",
    "_hc_id",
    "_health_checks",
    "_lock",
    "_records",
    "_rs_key",
    "_zones",
)
_s3 = Internals(
    s3,
    "_bucket_has_versions",
    "_bucket_versioning",
    "_buckets",
    "_put_object_lock_configuration",
)
_scheduler = Internals(
    scheduler,
    "_schedules",
)

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Registers the missing types and wraps the handlers that drop properties."""
    _register("AWS::CloudWatch::CompositeAlarm", _create_composite, _update_composite, _delete_composite)
    _register("AWS::Route53::HealthCheck", _create_health_check, _update_health_check, _delete_health_check)
    _register("AWS::Route53::RecordSetGroup", _create_records, _update_records, _delete_records)
    _after("AWS::S3::Bucket", _lock_bucket)
    _after("AWS::Lambda::Function", _finish_function)
    _after("AWS::Scheduler::Schedule", _finish_schedule)
    _refuse_to_delete_full_buckets()
    _write_booleans_as_xml_does()


def _register(kind: str, create: Callable[..., Created], update: Callable[..., Created], delete: Any) -> None:
    handlers = _provisioners._RESOURCE_HANDLERS
    handlers[kind] = {"create": create, "update": update, "delete": delete}


def _after(kind: str, finish: Callable[[str, Properties], None]) -> None:
    """Runs `finish(physical_id, properties)` after the create and update handlers of a type."""
    handler = _provisioners._RESOURCE_HANDLERS[kind]
    create, update = handler["create"], handler["update"]

    def created(logical_id: str, props: Properties, stack_name: str) -> Created:
        result = create(logical_id, props, stack_name)
        finish(result[0], props)
        return result

    def updated(physical_id: str, old: Properties, new: Properties, *rest: Any) -> Created:
        result = update(physical_id, old, new, *rest)
        finish(result[0], new)
        return result

    handler["create"], handler["update"] = created, updated


def _accepted(response: tuple[int, Any, Any], what: str) -> None:
    """Turns a refusal of the service into a failed resource."""
    status, _, body = response
    if status >= 400:
        text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)
        raise ValueError(f"{what}: {text}")


def _physical_name(stack_name: str, logical_id: str) -> str:
    return _provisioners._physical_name(stack_name, logical_id)


def _flag(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


# ---- CloudWatch::CompositeAlarm --------------------------------------------------------------


def _create_composite(logical_id: str, props: Properties, stack_name: str) -> Created:
    return _put_composite(props.get("AlarmName") or _physical_name(stack_name, logical_id), props)


def _update_composite(physical_id: str, _old: Properties, new: Properties, _stack_name: str) -> Created:
    return _put_composite(physical_id, new)


def _put_composite(name: str, props: Properties) -> Created:
    request = {key: value for key, value in props.items() if key != "Tags"}
    request |= {"AlarmName": name, "ActionsEnabled": _flag(props.get("ActionsEnabled", True))}
    put = _cloudwatch._put_composite_alarm
    _accepted(put({}, request, False, is_json=True), f"composite alarm `{name}`")
    return name, {"Arn": _cloudwatch._composite_alarms[name]["AlarmArn"]}


def _delete_composite(physical_id: str, _props: Properties) -> None:
    _cloudwatch._composite_alarms.pop(physical_id, None)


# ---- Route53::HealthCheck --------------------------------------------------------------------

_HEALTH_CHECK_NUMBERS = ("Port", "RequestInterval", "FailureThreshold", "HealthThreshold")
_HEALTH_CHECK_FLAGS = ("MeasureLatency", "EnableSNI", "Inverted", "Disabled")


def _health_check_config(props: Properties) -> dict[str, Any]:
    config = dict(props.get("HealthCheckConfig") or {})
    for name in _HEALTH_CHECK_NUMBERS:
        if name in config:
            config[name] = int(config[name])
    for name in _HEALTH_CHECK_FLAGS:
        if name in config:
            config[name] = _flag(config[name])
    if config.get("Type") == "CLOUDWATCH_METRIC" and not config.get("AlarmIdentifier"):
        raise ValueError("a health check of type CLOUDWATCH_METRIC needs an AlarmIdentifier")
    return config


def _create_health_check(logical_id: str, props: Properties, stack_name: str) -> Created:
    config = _health_check_config(props)
    check_id = _route53._hc_id()
    reference = f"{stack_name}-{logical_id}-{check_id}"
    with _route53._lock:
        _route53._health_checks[check_id] = {
            "id": check_id,
            "caller_reference": reference,
            "config": config,
            "version": 1,
        }
        _route53._hc_caller_refs[reference] = check_id
    return check_id, {"HealthCheckId": check_id}


def _update_health_check(physical_id: str, _old: Properties, new: Properties, _stack_name: str) -> Created:
    config = _health_check_config(new)
    with _route53._lock:
        check = _route53._health_checks[physical_id]
        check["config"] = config
        check["version"] += 1
    return physical_id, {"HealthCheckId": physical_id}


def _delete_health_check(physical_id: str, _props: Properties) -> None:
    with _route53._lock:
        check = _route53._health_checks.pop(physical_id, None)
        if check:
            _route53._hc_caller_refs.pop(check["caller_reference"], None)


def _write_booleans_as_xml_does() -> None:
    """ministack writes `True`; strict XML readers, the Rust SDK among them, accept `true` only."""

    def wrap(original: Any) -> Any:
        def build_health_check_el(parent: Element, check: dict[str, Any]) -> None:
            config = {
                key: str(value).lower() if isinstance(value, bool) else value
                for key, value in check.get("config", {}).items()
            }
            original(parent, {**check, "config": config})

        return build_health_check_el

    _route53.replace("_build_health_check_el", wrap)


# ---- Route53::RecordSetGroup -----------------------------------------------------------------


def _record_sets(props: Properties) -> list[tuple[str, dict[str, Any]]]:
    """(zone, record set) for each member; the group's zone is every member's default."""
    zone_of = _provisioners._r53_resolve_hosted_zone_id
    build = _provisioners._r53_record_set_build_rs
    defaults = {key: props[key] for key in ("HostedZoneId", "HostedZoneName") if key in props}
    return [(zone_of({**defaults, **record}), build(record)) for record in props.get("RecordSets") or []]


def _swap_records(old: list[tuple[str, dict]], new: list[tuple[str, dict]]) -> None:
    """Replaces `old` by `new`, all or nothing."""
    key_of = _route53._rs_key
    zones, records = _route53._zones, _route53._records
    with _route53._lock:
        touched = {zone for zone, _ in [*old, *new]}
        gone = {(zone, key_of(record)) for zone, record in old}
        after = {
            zone: [record for record in records.get(zone, []) if (zone, key_of(record)) not in gone] for zone in touched
        }
        for zone, record in new:
            if zone not in zones:
                raise ValueError(f"no hosted zone `{zone}`")
            if any(key_of(other) == key_of(record) for other in after[zone]):
                raise ValueError(
                    f"zone `{zone}` already has {record['Name']} {record['Type']} `{record.get('SetIdentifier', '')}`"
                )
            after[zone].append(record)
        for zone, content in after.items():
            records[zone] = content


def _create_records(logical_id: str, props: Properties, stack_name: str) -> Created:
    _swap_records([], _record_sets(props))
    return _physical_name(stack_name, logical_id), {}


def _update_records(physical_id: str, old: Properties, new: Properties, _stack_name: str) -> Created:
    _swap_records(_record_sets(old), _record_sets(new))
    return physical_id, {}


def _delete_records(_physical_id: str, props: Properties) -> None:
    _swap_records(_record_sets(props), [])


# ---- properties that templates lose ----------------------------------------------------------


def _lock_bucket(name: str, props: Properties) -> None:
    """ObjectLockEnabled and ObjectLockConfiguration. Object Lock switches versioning on, as on AWS."""
    configuration = props.get("ObjectLockConfiguration")
    if not (_flag(props.get("ObjectLockEnabled")) or configuration):
        return
    _s3._bucket_versioning[name] = "Enabled"
    root = Element("ObjectLockConfiguration")
    SubElement(root, "ObjectLockEnabled").text = "Enabled"
    retention = ((configuration or {}).get("Rule") or {}).get("DefaultRetention")
    if retention:
        default = SubElement(SubElement(root, "Rule"), "DefaultRetention")
        for key, value in retention.items():
            SubElement(default, key).text = str(value)
    put = _s3._put_object_lock_configuration
    _accepted(put(name, tostring(root)), f"object lock of `{name}`")


def _refuse_to_delete_full_buckets() -> None:
    """A stack that goes must not take evidence with it: AWS deletes empty buckets only."""
    handler = _provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    delete = handler["delete"]

    def refuse_or_delete(physical_id: str, props: Properties) -> None:
        bucket = _s3._buckets.get(physical_id) or {}
        if bucket.get("objects") or _s3._bucket_has_versions(physical_id):
            raise ValueError(f"the bucket `{physical_id}` is not empty")
        delete(physical_id, props)

    handler["delete"] = refuse_or_delete


def _finish_function(name: str, props: Properties) -> None:
    """DeadLetterConfig and ReservedConcurrentExecutions."""
    function = _lambda_svc._functions[name]
    if props.get("DeadLetterConfig"):
        function["config"]["DeadLetterConfig"] = props["DeadLetterConfig"]
    else:
        function["config"].pop("DeadLetterConfig", None)
    reserved = props.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)


_SCHEDULE_FIELDS = ("ScheduleExpressionTimezone", "StartDate", "EndDate", "KmsKeyArn")


def _finish_schedule(name: str, props: Properties) -> None:
    """Time zone, dates and key; the target's retry policy and dead-letter queue pass by themselves."""
    key = f"{props.get('GroupName', 'default')}/{name}"
    schedule = _scheduler._schedules.get(key)
    if schedule is None:
        raise ValueError(f"schedule `{key}` was refused: {json.dumps(props)}")
    for field in _SCHEDULE_FIELDS:
        if field in props:
            schedule[field] = props[field]
