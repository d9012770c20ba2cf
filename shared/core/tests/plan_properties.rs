//! What holds of every text and of every plan.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test stops at the first surprise"
)]

use jiff::civil::{Date, Time, date, time};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeSet;
use understudy_core::plan::{
    Application, Arming, Backup, BackupKind, Calendar, Capacity, Category, Communication, Contact, Day,
    DeclaredKind, DeclaredStore, Detection, Drill, DrillGuard, DrillKind, Environment, Escalation, Framework,
    HalfDay, Hook, HookPoint, Instance, Lag, Lease, MetBy, Mode, Objectives, OnLeaseLoss, Percent, Phase,
    Plan, Policy, Posture, RecoveredBy, Region, Regions, Regulation, Rehearsal, Replication, Retention,
    Review, Route, Scenario, Schedule, Scheme, Service, SessionHours, Store, StoreKind, Strategy as Move,
    Tier, TwinHook, TwinRoute, TwinStore, UncertainRows, Upkeep, read, read_placed,
};
use understudy_core::time::Millis;

const EXAMPLE: &str = include_str!("../../../infra/plans/financial-rag.yaml");

#[test]
fn the_example_reads() {
    let plan = read("financial-rag.yaml", EXAMPLE).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(plan.name, "financial-rag");
    assert_eq!(plan.tick, Millis::from_secs(60));
    let route = plan.routes.first().expect("one route");
    assert_eq!((route.scheme(), route.port()), (Scheme::Https, 443));
    assert_eq!(plan.digest().len(), 64);
}

#[test]
fn the_digest_counts_values_and_not_layout() {
    let digest = |text: &str| read("plan.yaml", text).expect("a plan").digest();
    assert_eq!(
        digest(EXAMPLE),
        digest(&format!("# a comment\n{}", EXAMPLE.replace("tick: 60s", "tick:    1m  # same")))
    );
    assert_ne!(
        digest(EXAMPLE),
        digest(&EXAMPLE.replace("port: 5432}\n    standby", "port: 5433}\n    standby"))
    );
}

/// Every scalar of the example: the line it stands on, and where in that line.
fn scalars() -> Vec<(usize, std::ops::Range<usize>)> {
    let mut scalars = Vec::new();
    for (index, line) in EXAMPLE.lines().enumerate() {
        let code = line.split(" #").next().unwrap_or_default().trim_end();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        let Some(open) = code.find(['{', '[']) else {
            let item = code.find("- https").map(|at| at + 2);
            let start = item.or_else(|| code.find(": ").map(|at| at + 2));
            scalars.extend(start.map(|start| (index + 1, start..code.len())));
            continue;
        };
        let mut at = open + 1;
        for part in code[open + 1..code.len() - 1].split(',') {
            let skip =
                part.find(": ").map_or_else(|| part.len() - part.trim_start().len(), |colon| colon + 2);
            scalars.push((index + 1, at + skip..at + part.len()));
            at += part.len() + 1;
        }
    }
    scalars
}

fn corrupted(line: usize, at: &std::ops::Range<usize>, with: &str) -> String {
    let lines = EXAMPLE.lines().enumerate().map(|(index, text)| match index + 1 {
        n if n == line => format!("{}{with}{}\n", &text[..at.start], &text[at.end..]),
        _ => format!("{text}\n"),
    });
    lines.collect()
}

#[test]
fn a_corrupted_scalar_is_told_on_its_own_line() {
    let scalars = scalars();
    assert!(scalars.len() >= 60, "the example has many scalars, found {}", scalars.len());
    for (line, at) in scalars {
        for with in ["[]", "{}", "''", "null", "\"\\0\"", "*alias", "AKIAIOSFODNN7EXAMPLE"] {
            let text = corrupted(line, &at, with);
            let problems = read("plan.yaml", &text).expect_err("corrupted");
            assert!(
                problems.problems.iter().any(|problem| problem.line == line),
                "line {line}, {with}:\n{problems}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = read("plan.yaml", &text).map_err(|problems| problems.to_string());
    }

    #[test]
    fn any_yaml_like_text_is_answered(parts in vec(yaml_like(), 0..24)) {
        let _ = read("plan.yaml", &parts.concat()).map_err(|problems| problems.to_string());
    }

    #[test]
    fn any_edit_of_the_example_is_answered(
        start in 0..EXAMPLE.len(), length in 0_usize..200, with in vec(yaml_like(), 0..4)
    ) {
        let boundary = |at: usize| (0..=at.min(EXAMPLE.len())).rev().find(|at| EXAMPLE.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (boundary(start), boundary(start + length));
        let text = format!("{}{}{}", &EXAMPLE[..start], with.concat(), &EXAMPLE[end.max(start)..]);
        if let Err(problems) = read("plan.yaml", &text) {
            let rendered = problems.to_string();
            for problem in &problems.problems {
                prop_assert!(text.is_char_boundary(problem.span.start) && text.is_char_boundary(problem.span.end));
                let before = &text[..problem.span.start];
                prop_assert_eq!(problem.line, before.matches('\n').count() + 1);
                prop_assert_eq!(problem.column, before.rsplit('\n').next().unwrap_or("").chars().count() + 1);
                prop_assert!(rendered.contains(problem.code));
            }
        }
    }

    #[test]
    fn a_written_plan_reads_back(plan in plan()) {
        let text = plan.to_yaml();
        match read("plan.yaml", &text) {
            Ok(back) => {
                prop_assert_eq!(back.digest(), plan.digest());
                prop_assert_eq!(back, plan);
            }
            Err(problems) => prop_assert!(false, "{text}\n{problems}"),
        }
    }

    /// What is packaged for the rehearsal reads back to what was derived, and names nothing of production's.
    #[test]
    fn a_rehearsal_is_a_plan_of_its_own(plan in plan()) {
        let derived = plan.rehearsal();
        prop_assert_eq!(derived.is_some(), plan.rehearsal.is_some());
        let Some(twin) = derived else { return Ok(()) };
        match read("plan.yaml", &twin.to_yaml()) {
            Ok(back) => prop_assert_eq!(&back, &twin),
            Err(problems) => prop_assert!(false, "{}\n{problems}", twin.to_yaml()),
        }
        prop_assert_eq!(twin.environment, Environment::Rehearsal);
        prop_assert_eq!(&twin.name, &format!("{}-rehearsal", plan.name));
        prop_assert!(twin.rehearsal().is_none());
        let ids = |plan: &Plan| -> BTreeSet<String> {
            let stores = plan.stores.iter().flat_map(|store| [
                store.primary.id.clone(), store.standby.id.clone(), store.primary.host.clone(), store.standby.host.clone(),
                store.application.secret.clone()]);
            let routes = plan.routes.iter().flat_map(|route| [
                route.record.clone(), route.verdict_record.clone(), route.primary.clone(), route.standby.clone()]);
            let hooks = plan.hooks.iter().flat_map(|hook| [Some(hook.http.clone()), hook.undo.clone()]).flatten();
            stores.chain(routes).chain(hooks).collect()
        };
        prop_assert!(ids(&plan).is_disjoint(&ids(&twin)));
        // What is rehearsed is the same recovery.
        prop_assert_eq!((&twin.detection, &twin.lease, &twin.policy), (&plan.detection, &plan.lease, &plan.policy));
    }

    #[test]
    fn a_scaled_plan_is_a_plan(plan in plan(), factor in prop_oneof![0.0..4.0, 1.0..1000.0, Just(f64::NAN), Just(f64::INFINITY)]) {
        let scaled = plan.scaled(factor);
        match read("plan.yaml", &scaled.to_yaml()) {
            Ok(back) => prop_assert_eq!(&back, &scaled),
            Err(problems) => prop_assert!(false, "{}\n{problems}", scaled.to_yaml()),
        }
        prop_assert!(scaled.tick <= plan.tick && scaled.detection.probe_timeout <= plan.detection.probe_timeout);
        prop_assert!(scaled.objectives.rto <= plan.objectives.rto && scaled.objectives.rpo <= plan.objectives.rpo);
    }
}

proptest! {
    // Each plan is read once for each of its hundred values and more.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Each value of each plan, spoiled: the problem stands where the value stood, to the column.
    #[test]
    fn a_spoiled_value_is_told_where_it_stands(plan in plan(), with in prop::sample::select(vec!["*a", "\"\\u0001\""])) {
        let text = plan.to_yaml();
        let (_, places) = read_placed("plan.yaml", &text).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
        for (path, span) in places.leaves() {
            let spoiled = format!("{}{with}{}", &text[..span.start], &text[span.end..]);
            let Err(problems) = read("plan.yaml", &spoiled) else {
                prop_assert!(false, "`{path}` spoiled by `{with}` is read:\n{spoiled}");
                continue;
            };
            let at = places.at(path);
            prop_assert!(
                problems.problems.iter().any(|problem| (problem.line, problem.column) == at),
                "`{path}` stood at {at:?}:\n{problems}"
            );
        }
    }
}

#[test]
fn a_problem_at_a_line_break_is_shown() {
    for text in [
        ": null{}a>9\r\n? \n\n",
        ": a\n? \r\n",
        "tick:\r\n",
        "tick: 60s\r\n\r\ntick: 1\r\n",
        "\r\n",
        "- \n\n\n",
    ] {
        let problems = read("plan.yaml", text).expect_err("no plan");
        assert!(!problems.to_string().is_empty());
    }
}

#[test]
fn the_example_in_fast_motion() {
    let plan = read("plan.yaml", EXAMPLE).expect("the example").scaled(15.0);
    assert_eq!((plan.tick, plan.look), (Millis::from_secs(4), Some(Millis::from_secs(1))));
    assert_eq!(plan.detection.window, Millis::from_secs(6));
    assert_eq!(plan.detection.probe_timeout, Millis(999));
    assert_eq!(plan.lease.ttl, Millis::from_secs(4));
    assert_eq!(plan.lease.commit_margin, Millis(2000));
    assert_eq!(plan.lease.drift, Millis(67));
    assert_eq!(plan.policy.approval_timeout, Millis::from_secs(20));
    let route = plan.routes.first().expect("one route");
    assert_eq!(
        (route.ttl, route.hold, route.confirm_timeout),
        (Millis::from_secs(4), Millis::from_secs(4), Millis::from_secs(40))
    );
    // What is promised shrinks too: fast motion held against real time would always flatter.
    assert_eq!(plan.objectives.rto, Millis::from_secs(60));
    // A factor beyond what a look can bear is lowered.
    assert_eq!(read("plan.yaml", EXAMPLE).expect("the example").scaled(1e9), plan);
}

fn yaml_like() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            ": ",
            "- ",
            "\n",
            "\n  ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "\"",
            "'",
            "#",
            "|",
            ">",
            "&a ",
            "*a",
            "!t ",
            "<<: ",
            "? ",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "\t",
            "\r\n",
            "\r",
            "\u{feff}",
            "\u{200b}",
            "é",
            "\u{1f512}",
            "password=x",
            "-----BEGIN X",
            "https://a:b@c",
            "AKIAIOSFODNN7EXAMPLE",
            "\\",
            "null",
            "60",
            "90s",
            "stores:\n  - ",
            "regions: ",
            "tick: ",
            "lease: {on_loss: fence}\n",
            "detection:\n  window: 1s\n",
            "tick: 60s\n",
        ])
        .prop_map(str::to_owned),
        "[a-z_]{1,8}: ?",
        any::<char>().prop_map(String::from),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{1,30}"
}

fn identifier() -> impl Strategy<Value = String> {
    // None of them is a word that SQL reserves.
    "[a-z_][a-z0-9_]{0,18}_9"
}

/// Words, and the texts that YAML would take for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z][ -~]{0,60}",
        "[ -~à-ž]{0,30}[a-z0-9'\"#:{\\[|>&*!%@`-]",
        prop::sample::select(vec![
            "true", "null", "~", "12", "1e3", "- x", "a: b", "#x", "it's", "\"", "yes", "0x1", ".5"
        ])
        .prop_map(str::to_owned),
    ]
    .prop_filter("a plan's text is not blank and holds no secret", |text| {
        !text.trim().is_empty() && !text.contains('=') && !text.contains("://") && !text.contains("-----")
    })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{1,10}(-[a-z0-9]{1,5})?(\\.[a-z]{2,8}){1,3}",
        "127\\.0\\.0\\.[1-9]",
        Just("::1".to_owned())
    ]
}

fn span(most: u64) -> impl Strategy<Value = Millis> {
    prop_oneof![1..=most, (1..=most.div_ceil(1000)).prop_map(|seconds| seconds * 1000)].prop_map(Millis)
}

fn long() -> impl Strategy<Value = Millis> {
    span(34_560_000_000)
}

/// As long as a hook may take, two of which may come together.
fn brief() -> impl Strategy<Value = Millis> {
    span(20_000)
}

/// `more` above `base`.
fn above(base: Millis, more: Millis) -> Millis {
    Millis((base.0 + more.0).min(34_560_000_000))
}

fn detection(tick: Millis, pace: Millis) -> impl Strategy<Value = Detection> {
    let controls = vec("https?://[a-z]{1,9}\\.[a-z]{2,4}(:[1-9][0-9]{0,3})?(/[a-z0-9]{0,5})?", 1..3);
    (span(9_000_000), 1..=2_u32, span(900_000), 0.0..1.0, long(), controls).prop_map(
        move |(window, quorum, age, part, cooldown, mut controls)| {
            controls.sort();
            controls.dedup();
            let probe = Millis(((pace.0 as f64 * part) as u64).clamp(1, pace.0 - 1));
            Detection {
                window: above(pace.times(2), window),
                quorum,
                vote_max_age: above(tick.times(2).saturating_add(probe), age),
                probe_timeout: probe,
                cooldown,
                controls,
            }
        },
    )
}

fn arming() -> impl Strategy<Value = Arming> {
    let shadow = prop_oneof![
        (30..9999_u32).prop_map(|days| (Some(days), None)),
        text().prop_map(|text| (None, Some(format!("{text} because of that"))))
    ];
    (text(), day(), shadow).prop_map(|(by, signed_on, (shadow_days, shadow_waived))| Arming {
        by,
        signed_on,
        shadow_days,
        shadow_waived,
    })
}

fn lease(pace: Millis) -> impl Strategy<Value = Lease> {
    (span(900_000), 0.0..1.0, long(), any::<bool>(), arming(), any::<bool>()).prop_map(
        move |(ttl, part, drift, fence, arming, armed)| {
            let ttl = above(pace.times(4), ttl);
            Lease {
                ttl,
                commit_margin: Millis(((ttl.0 as f64 * part) as u64).clamp(1, ttl.0 - 1)),
                drift,
                on_loss: if fence { OnLeaseLoss::Fence } else { OnLeaseLoss::Stay },
                arming: (fence || armed).then_some(arming),
            }
        },
    )
}

fn store() -> impl Strategy<Value = Store> {
    let instance = |id: &'static str| {
        (host(), 1..=u16::MAX).prop_map(move |(host, port)| Instance { id: id.to_owned(), host, port })
    };
    let lag = (span(1_000_000), span(1_000_000), span(1_000_000)).prop_map(|(typical, warn, block)| {
        let warn = above(typical, warn);
        Lag { typical, warn, block: above(warn, block) }
    });
    let table = (identifier(), identifier()).prop_map(|(schema, table)| format!("{schema}.{table}"));
    let parts = (
        identifier(),
        instance("main"),
        instance("main-replica"),
        identifier(),
        "[A-Za-z0-9/_+.@-]{1,40}",
        table,
        lag,
        0.0..=1.0,
        long(),
    );
    (name(), parts)
        .prop_map(
            |(
                name,
                (role, primary, standby, database, secret, table, lag, min_consistency, promote_timeout),
            )| Store {
                name,
                kind: StoreKind::RdsPostgres,
                required: true,
                database,
                primary,
                standby,
                operator_role: format!("{role}_op"),
                writer_roles: vec![format!("{role}_w"), role.clone()],
                application: Application { role, secret },
                counted: vec![table.clone()],
                tables: vec![table],
                uncertain_rows: Some(UncertainRows::Ask),
                lag,
                min_consistency,
                promote_timeout,
            },
        )
        .prop_filter("the two sides are two addresses", |store| {
            (&store.primary.host, store.primary.port) != (&store.standby.host, store.standby.port)
        })
}

fn route() -> impl Strategy<Value = Route> {
    let address = (any::<bool>(), option::of(1..=u16::MAX), "[a-z]{3,9}\\.[a-z]{2,5}");
    let spans = (1_u64..100_000, span(900_000), span(900_000));
    (name(), address, "Z[A-Z0-9]{1,31}", "/[a-zA-Z0-9/_.%~-]{0,20}", spans)
        .prop_map(|(name, (tls, port, domain), zone_id, path, spans)| {
            let (ttl, hold, confirm) = spans;
            let word = if tls { "https" } else { "http" };
            let tail = port.map_or(String::new(), |port| format!(":{port}"));
            Route {
                record: format!("{name}.{domain}"),
                zone_id,
                ttl: Millis::from_secs(ttl),
                strategy: Move::SwitchMetric,
                fast: tls,
                primary: format!("{word}://p.{domain}{tail}"),
                standby: format!("{word}://s.{domain}{tail}"),
                verdict_record: format!("_verdict.{domain}"),
                health_path: path.clone(),
                transaction_path: path,
                hold,
                confirm_timeout: above(hold, confirm),
                name,
            }
        })
        .prop_filter("labels end in no hyphen", |route| !route.name.ends_with('-'))
}

fn hook() -> impl Strategy<Value = Hook> {
    let point = prop::sample::select(vec![HookPoint::Capacity, HookPoint::Recycle, HookPoint::Consumers]);
    let address = "https?://[a-z]{1,9}(:[1-9][0-9]{0,3})?/[a-z0-9?]{0,9}";
    (name(), point, address, option::of(address), brief()).prop_map(|(name, at, http, undo, timeout)| Hook {
        undo: undo.or_else(|| (at == HookPoint::Capacity).then(|| http.clone())),
        name,
        at,
        http,
        timeout,
    })
}

/// A twin of everything, on names that no generated plan has.
fn rehearsal(stores: &[Store], routes: &[Route], hooks: &[Hook]) -> Rehearsal {
    let at = |path: &str| format!("http://twin.drill.example:8080{path}");
    let instance = |store: &Store, side: &str| Instance {
        id: format!("{}-{side}", store.name),
        host: format!("{side}.{}.drill.example", store.name),
        port: 5432,
    };
    let twin_route = |route: &Route| TwinRoute {
        name: route.name.clone(),
        record: format!("{}.drill.example", route.name),
        zone_id: route.zone_id.clone(),
        primary: format!("http://p.{}.drill.example:8080", route.name),
        standby: format!("http://s.{}.drill.example:8080", route.name),
        verdict_record: format!("_verdict.{}.drill.example", route.name),
    };
    Rehearsal {
        stores: stores
            .iter()
            .map(|store| TwinStore {
                name: store.name.clone(),
                primary: instance(store, "p"),
                standby: instance(store, "s"),
                secret: format!("drill.example/{}", store.name),
            })
            .collect(),
        routes: routes.iter().map(twin_route).collect(),
        hooks: hooks
            .iter()
            .map(|hook| TwinHook {
                name: hook.name.clone(),
                http: at("/do"),
                undo: hook.undo.as_ref().map(|_| at("/undo")),
            })
            .collect(),
    }
}

fn day() -> impl Strategy<Value = Date> {
    (2000_i16..2100, 1_i8..=12, 1_i8..=28).prop_map(|(year, month, day)| date(year, month, day))
}

fn minute() -> impl Strategy<Value = Time> {
    (0_i8..24, 0_i8..60).prop_map(|(hour, minute)| time(hour, minute, 0, 0))
}

fn days() -> impl Strategy<Value = Vec<Day>> {
    prop::sample::subsequence(
        vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun],
        1..=7,
    )
}

fn calendar() -> impl Strategy<Value = Calendar> {
    let zone = prop::sample::select(vec!["America/New_York", "Europe/London", "Asia/Kolkata", "UTC"]);
    let hours =
        (days(), minute(), minute()).prop_map(|(days, open, close)| SessionHours { days, open, close });
    let half_day = (day(), minute()).prop_map(|(day, close)| HalfDay { day, close });
    (zone, vec(hours, 1..3), vec(day(), 0..3), vec(half_day, 0..2)).prop_map(
        |(zone, sessions, mut holidays, half_days)| {
            // Each day once: two draws may be alike.
            holidays.sort_unstable();
            holidays.dedup();
            Calendar { time_zone: zone.to_owned(), sessions, holidays, half_days }
        },
    )
}

fn percent() -> impl Strategy<Value = Percent> {
    (0_u32..1_000_000).prop_map(|parts| Percent(f64::from(parts) / 10_000.0))
}

/// A span, or no loss.
fn loss() -> impl Strategy<Value = Millis> {
    prop_oneof![long(), Just(Millis::ZERO)]
}

fn tiers_and_services() -> impl Strategy<Value = (Vec<Tier>, Vec<Service>)> {
    let tier = (long(), loss(), option::of(percent()), option::of(long())).prop_map(
        |(rto, rpo, availability, downtime_per_month)| Tier {
            name: "tier".to_owned(),
            rto,
            rpo,
            availability,
            downtime_per_month,
        },
    );
    let met_by = prop::sample::select(vec![MetBy::Understudy, MetBy::OnSite, MetBy::Vendor]);
    let capacity = (1_u32..10, 1_u32..10).prop_map(|(normal, after)| Capacity { normal, after });
    let promised = (option::of(long()), option::of(loss()), option::of(percent()));
    let service = (promised, met_by, option::of(1_u32..9), option::of(capacity), any::<bool>()).prop_map(
        |((rto, rpo, availability), met_by, phase, capacity, tiered)| Service {
            name: "part".to_owned(),
            tier: tiered.then(|| "tier-0".to_owned()),
            rto,
            rpo,
            availability,
            met_by,
            phase,
            capacity,
        },
    );
    (vec(tier, 1..3), vec(service, 0..4)).prop_map(|(mut tiers, mut services)| {
        tiers.iter_mut().enumerate().for_each(|(index, tier)| tier.name = format!("tier-{index}"));
        services.iter_mut().enumerate().for_each(|(index, service)| service.name = format!("part-{index}"));
        (tiers, services)
    })
}

fn declared_store() -> impl Strategy<Value = DeclaredStore> {
    let kind = prop::sample::select(vec![
        DeclaredKind::Elasticache,
        DeclaredKind::S3Replication,
        DeclaredKind::Other,
    ]);
    let replication = prop::sample::select(vec![Replication::Synchronous, Replication::None]);
    (kind, replication, any::<bool>(), option::of(text())).prop_map(
        |(kind, replication, required, after_a_move)| {
            let lag = Lag { typical: Millis(1), warn: Millis(2), block: Millis(3) };
            DeclaredStore {
                name: "declared".to_owned(),
                kind,
                required,
                replication,
                shipped_every: None,
                lag: required.then_some(lag),
                after_a_move,
            }
        },
    )
}

fn drill() -> impl Strategy<Value = Drill> {
    let schedule =
        prop::sample::select(vec!["rate(1 day)", "cron(0 14 15 3,6,9,12 ? *)", "cron(0 2 ? * 7L *)"])
            .prop_map(|text| text.parse::<Schedule>().expect("a schedule"));
    let kind = prop::sample::select(vec![DrillKind::RegionFailover, DrillKind::Walkthrough]);
    let phase = (text(), long()).prop_map(|(name, takes)| Phase { name, takes });
    (kind, option::of(schedule), option::of(long()), vec(phase, 0..3), vec(text(), 0..2)).prop_map(
        |(kind, schedule, window, phases, observers)| Drill {
            name: "drill".to_owned(),
            kind,
            time_zone: schedule.is_some().then(|| "UTC".to_owned()),
            schedule,
            at_least_every: window,
            window,
            phases,
            rto: window,
            rpo: Some(Millis::ZERO),
            notice: None,
            observers,
        },
    )
}

type People = (Option<Review>, Vec<Escalation>, Vec<Communication>, Vec<Regulation>, u32, Option<Mode>);
type Promises = (
    Option<Calendar>,
    Vec<Tier>,
    Vec<Service>,
    Vec<DeclaredStore>,
    Vec<Backup>,
    Vec<Scenario>,
    Vec<Drill>,
    People,
);

fn people() -> impl Strategy<Value = People> {
    let review = (vec(text(), 1..3), day(), long()).prop_map(|(by, last, every)| Review { by, last, every });
    let escalation = (loss(), vec(text(), 1..3), option::of(long()))
        .prop_map(|(after, to, acknowledge_within)| Escalation { after, to, acknowledge_within, when: None });
    let communication =
        (text(), long()).prop_map(|(to, within)| Communication { to, within, then_every: None });
    let framework = prop::sample::select(vec![Framework::Sec17a4, Framework::Dora]);
    let regulation = framework.prop_map(|name| Regulation { name, because: None });
    let parts = (option::of(review), vec(escalation, 0..3), vec(communication, 0..2), vec(regulation, 0..2));
    (parts, 1_u32..=5).prop_map(|((review, mut escalation, communications, mut frameworks), approvals)| {
        escalation.sort_by_key(|level| level.after);
        frameworks.dedup();
        (review, escalation, communications, frameworks, approvals, None)
    })
}

fn promises() -> impl Strategy<Value = Promises> {
    let backup = (long(), option::of(long())).prop_map(|(every, keep)| Backup {
        name: "copy".to_owned(),
        kind: BackupKind::Snapshot,
        every,
        max_age: None,
        keep,
    });
    let scenario = (long(), option::of(loss())).prop_map(|(rto, rpo)| Scenario {
        name: "scenario".to_owned(),
        category: Category::Security,
        recovered_by: RecoveredBy::Restore,
        rto,
        rpo,
        procedure: None,
    });
    let lists = (vec(declared_store(), 0..2), vec(backup, 0..2), vec(scenario, 0..2), vec(drill(), 0..3));
    (option::of(calendar()), tiers_and_services(), lists, people(), any::<bool>()).prop_map(
        |(
            calendar,
            (tiers, services),
            (mut stores, mut backups, mut scenarios, mut drills),
            mut people,
            asks,
        )| {
            people.5 = (calendar.is_some() && asks).then_some(Mode::Approval);
            stores.iter_mut().enumerate().for_each(|(index, one)| one.name = format!("declared-{index}"));
            backups.iter_mut().enumerate().for_each(|(index, one)| one.name = format!("copy-{index}"));
            scenarios.iter_mut().enumerate().for_each(|(index, one)| one.name = format!("scenario-{index}"));
            drills.iter_mut().enumerate().for_each(|(index, one)| one.name = format!("drill-{index}"));
            (calendar, tiers, services, stores, backups, scenarios, drills, people)
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let tick = prop_oneof![2_u64..3000, 1000_u64..1_000_000].prop_map(Millis);
    // One that leaves room for its rehearsal's.
    let name = "[a-z][a-z0-9-]{1,20}";
    let head = (name, text(), text(), long(), long(), any::<bool>(), long(), 1..=100_u32);
    let lists = (vec(store(), 1..3), vec(route(), 1..3), vec(hook(), 0..3), any::<bool>());
    let paces = (tick, 0.0..1.0, any::<bool>()).prop_map(|(tick, part, looks)| {
        let looks = looks && tick.0 > 1000;
        (tick, looks.then(|| Millis(((tick.0 as f64 * part) as u64).clamp(1000, tick.0 - 1))))
    });
    let parts = paces.prop_flat_map(|(tick, look)| {
        let pace = look.unwrap_or(tick);
        ((Just(tick), Just(look)), detection(tick, pace), lease(pace))
    });
    (head, parts, lists, promises()).prop_map(
        |(head, ((tick, look), detection, lease), (mut stores, mut routes, mut hooks, twin), promises)| {
            let (name, title, owner, rto, rpo, automatic, approval_timeout, evidence_years) = head;
            let (calendar, tiers, services, declared_stores, backups, scenarios, drills, people) = promises;
            let (review, escalation, communications, frameworks, approvals, in_session) = people;
            stores.iter_mut().enumerate().for_each(|(index, store)| store.name = format!("store-{index}"));
            routes.iter_mut().enumerate().for_each(|(index, route)| {
                route.name = format!("route-{index}");
                route.record = format!(
                    "r{index}.{}",
                    route.record.split_once('.').map_or("example.com", |(_, domain)| domain)
                );
            });
            hooks.iter_mut().enumerate().for_each(|(index, hook)| hook.name = format!("hook-{index}"));
            let region = |name: &str| Region(name.to_owned());
            let rehearsal = twin.then(|| rehearsal(&stores, &routes, &hooks));
            let outside_sessions = automatic && calendar.is_some();
            Plan {
                format: 1,
                name,
                title,
                environment: Environment::Production,
                owner,
                review,
                posture: Some(Posture::Warm),
                tiers,
                services,
                calendar,
                maintenance: Vec::new(),
                declared_stores,
                upkeep: Some(Upkeep { tls_expiry: None, version_parity: true }),
                backups,
                scenarios,
                drills,
                drill_guard: Some(DrillGuard {
                    outside_sessions,
                    not_between: None,
                    rest: Some(Millis::from_secs(1800)),
                    stop_when: Vec::new(),
                }),
                escalation,
                communications,
                contacts: vec![Contact { role: "on-call".to_owned(), by: "pagerduty".to_owned() }],
                after_recovery: Vec::new(),
                frameworks,
                regions: Regions {
                    primary: region("us-east-1"),
                    standby: region("eu-west-1"),
                    witness: Some(region("us-gov-west-1")),
                },
                objectives: Objectives { rto, rpo, availability: Some(Percent(99.95)) },
                tick,
                look,
                detection,
                lease,
                policy: Policy {
                    failover: if automatic { Mode::Automatic } else { Mode::Approval },
                    in_session,
                    approval_timeout,
                    approvals,
                    approvers: Vec::new(),
                },
                stores,
                routes,
                hooks,
                retention: Retention {
                    evidence_years,
                    signing_key: (evidence_years % 2 == 0).then(|| "create".to_owned()),
                },
                rehearsal,
            }
        },
    )
}
