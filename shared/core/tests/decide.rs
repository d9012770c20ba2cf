//! The decision, over every combination of what it looks at.

#![expect(clippy::panic, clippy::expect_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use std::sync::Arc;
use understudy_core::decide::{Decision, Question, decide, decide_asked, decide_continue};
use understudy_core::incident::{Attempt, Ended, Incident, Start, execution_name, open_attempt};
use understudy_core::lease::Standing;
use understudy_core::observed::Observed;
use understudy_core::plan::{Mode, Plan, read};
use understudy_core::run::{End, Kind, Request};
use understudy_core::state::{Category, Change, Flag};
use understudy_core::time::{Millis, after, before};
use understudy_core::votes::{History, Observer, Onset, Probe, Seen, Votes};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn plan() -> Plan {
    let text = include_str!("../../../tests/plans/minute-ticks.yaml");
    read("plan.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Say {
    Up,
    Failing,
    Down,
    Unknown,
}

const SAYINGS: [Say; 4] = [Say::Up, Say::Failing, Say::Down, Say::Unknown];

fn history(say: Say) -> Observed<Arc<History>> {
    let probe =
        |seconds_ago: u64, seen: Seen| Probe { at: before(NOW, Millis::from_secs(seconds_ago)), seen };
    let bad = || Seen::Down { reason: "timed out".to_owned() };
    let probes = match say {
        Say::Up => vec![probe(10, Seen::Up)],
        Say::Failing => vec![probe(70, Seen::Up), probe(10, bad())],
        Say::Down => vec![probe(190, Seen::Up), probe(130, bad()), probe(70, bad()), probe(10, bad())],
        Say::Unknown => return Observed::unknown("no answer"),
    };
    Observed::known(Arc::new(History { probes }), "table", NOW)
}

fn votes(sayings: [Say; 3]) -> Votes {
    Votes { histories: Observer::ALL.into_iter().zip(sayings.map(history)).collect() }
}

fn leases() -> [Standing; 5] {
    let renewed = |seconds| Standing::Renewed {
        keeper: "witness".to_owned(),
        seen_at: before(NOW, Millis::from_secs(seconds)),
        ttl: Millis::from_secs(240),
    };
    [
        renewed(5),
        renewed(170),
        Standing::Stale { since: before(NOW, Millis::from_secs(200)) },
        Standing::Moved { epoch: 2 },
        Standing::Unknown { reason: "keeper `witness`: timed out".to_owned() },
    ]
}

const ID: &str = "i-20261121t031500z";

fn incident(ends: &[Option<End>], closed_at: Option<Timestamp>) -> Incident {
    let blocking = vec!["PF-04:metadata".to_owned()];
    let attempts = (1..).zip(ends).map(|(number, end)| Attempt {
        grounds: None,
        number,
        execution: execution_name(ID, number),
        kind: Kind::Failover,
        asked: None,
        continues: None,
        opened_at: before(NOW, Millis::from_secs(3600)),
        ended: end.map(|end| Ended {
            took_nothing: false,
            at: closed_at.unwrap_or(before(NOW, Millis::from_secs(60))),
            end,
            blocking: blocking.clone(),
        }),
    });
    let onset = Some(Onset { last_good: None, first_bad: before(NOW, Millis::from_secs(4000)) });
    Incident {
        id: ID.to_owned(),
        onset,
        opened_at: before(NOW, Millis::from_secs(3600)),
        attempts: attempts.collect(),
        closed_at,
    }
}

/// Every state that the incident's cell can be in.
fn incidents() -> Vec<Option<Incident>> {
    let cooldown = plan().detection.cooldown;
    let within = before(NOW, Millis(cooldown.0 - 1));
    let over = before(NOW, cooldown);
    let mut all = vec![
        None,
        Some(incident(&[None], None)),
        Some(incident(&[Some(End::Refused), None], None)),
        Some(incident(&[Some(End::Recovered)], Some(within))),
        Some(incident(&[Some(End::Recovered)], Some(over))),
    ];
    let open = [End::Refused, End::RolledBack, End::NeedsOperator, End::Unfinished];
    all.extend(open.map(|end| Some(incident(&[Some(end)], None))));
    all
}

fn combinations() -> Vec<[Say; 3]> {
    let pairs = |a: Say| SAYINGS.into_iter().map(move |b| (a, b));
    let triples = |(a, b): (Say, Say)| SAYINGS.into_iter().map(move |c| [a, b, c]);
    SAYINGS.into_iter().flat_map(pairs).flat_map(triples).collect()
}

/// Nothing blocks; what refused the attempt still blocks; another check blocks; nobody looked.
fn readiness() -> [Option<Vec<String>>; 4] {
    let blocked = |id: &str| Some(vec![id.to_owned()]);
    [Some(Vec::new()), blocked("PF-04:metadata"), blocked("PF-08:api"), None]
}

#[test]
fn an_attempt_starts_only_on_a_quorum_a_stale_lease_and_nobody_against_it() {
    let plan = plan();
    let mut started = 0;
    for sayings in combinations() {
        let votes = votes(sayings);
        let down = sayings.iter().filter(|say| **say == Say::Down).count();
        for lease in leases() {
            for incident in incidents() {
                for blocking in readiness() {
                    for hold in [None, Some(held("sre-1", None))] {
                        let question = Question {
                            incident: incident.as_ref(),
                            hold: hold.as_ref(),
                            blocking: blocking.as_deref(),
                            ..question(&plan, &votes, &lease)
                        };
                        let decision = decide(&question);
                        let told =
                            format!("{sayings:?} {lease:?} {incident:?} {blocking:?} {hold:?}: {decision:?}");
                        let running = incident.as_ref().and_then(Incident::running);
                        assert_eq!(matches!(decision, Decision::Running { .. }), running.is_some(), "{told}");
                        if let Decision::Start(_) = decision {
                            started += 1;
                            assert!(down >= 2, "{told}");
                            assert!(matches!(lease, Standing::Stale { .. }), "{told}");
                            assert!(hold.is_none() && running.is_none(), "{told}");
                        } else if down >= 2 && running.is_none() && !matches!(lease, Standing::Moved { .. }) {
                            // Renewed before the outage and not since: dead or cut off, and the lease will tell.
                            let yet_unknown = hold.is_none() && lease == leases()[1];
                            let paged = matches!(decision, Decision::Page { .. });
                            assert!(paged || yet_unknown, "people must know: {told}");
                        } else if let Decision::Over { .. } = decision {
                            assert!(down == 0 && sayings.contains(&Say::Up), "{told}");
                            assert!(matches!(lease, Standing::Renewed { .. }), "{told}");
                            assert!(incident.as_ref().is_some_and(Incident::is_open), "{told}");
                        } else if down == 0 && running.is_none() {
                            // A database that takes no write behind a health path that answers: people must know.
                            // And of what stands half-way, whoever holds the lease.
                            let half_way = incident
                                .as_ref()
                                .is_some_and(|incident| incident.is_open() && incident.stopped().is_some());
                            let paged = half_way || matches!(lease, Standing::Stale { .. });
                            assert_eq!(matches!(decision, Decision::Page { .. }), paged, "{told}");
                            assert_eq!(matches!(decision, Decision::Watch { .. }), !paged, "{told}");
                        }
                        assert_eq!(decide(&question), decision, "the same question, the same answer");
                    }
                }
            }
        }
    }
    assert!(started > 0, "something starts");
}

/// What is asked where nothing else is said: no incident, no hold, an armed dead-man, and nobody looked at the standby.
fn question<'a>(plan: &'a Plan, votes: &'a Votes, lease: &'a Standing) -> Question<'a> {
    Question {
        now: NOW,
        plan,
        votes,
        lease,
        renewed_once: true,
        unarmed: None,
        stopped_since: None,
        incident: None,
        hold: None,
        blocking: None,
    }
}

fn answer(sayings: [Say; 3], incident: Option<&Incident>, blocking: Option<&[String]>) -> Decision {
    let lease = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
    let (plan, votes) = (plan(), votes(sayings));
    decide(&Question { incident, blocking, ..question(&plan, &votes, &lease) })
}

#[test]
fn the_quorum_is_exactly_the_plans() {
    use Say::{Down, Failing, Unknown, Up};
    assert!(matches!(answer([Down, Down, Up], None, None), Decision::Start(Start { attempt: 1, .. })));
    assert!(matches!(answer([Down, Failing, Unknown], None, None), Decision::Page { .. }));
    let mut strict = plan();
    strict.detection.quorum = 3;
    let lease = Standing::Stale { since: NOW };
    for (sayings, starts) in [([Down, Down, Failing], false), ([Down, Down, Down], true)] {
        let votes = votes(sayings);
        let decided = decide(&question(&strict, &votes, &lease));
        assert_eq!(matches!(decided, Decision::Start(_)), starts, "{sayings:?}");
    }
}

#[test]
fn what_the_standby_says_of_itself_never_starts_anything() {
    let blocked = vec!["PF-04:metadata".to_owned(), "PF-08:api".to_owned()];
    for sayings in combinations() {
        let calm = answer(sayings, None, Some(&[]));
        assert_eq!(answer(sayings, None, Some(&blocked)), calm, "lag and readiness change no first decision");
        assert_eq!(answer(sayings, None, None), calm);
    }
}

#[test]
fn the_cooldown_ends_exactly_when_it_says() {
    let cooldown = plan().detection.cooldown;
    let down = [Say::Down; 3];
    let ended = |ago: u64| incident(&[Some(End::Recovered)], Some(before(NOW, Millis(ago))));
    let within = answer(down, Some(&ended(cooldown.0 - 1)), None);
    let Decision::Page { reason, .. } = within else { panic!("{within:?}") };
    assert!(reason.contains("cooldown") && reason.contains(&after(NOW, Millis(1)).to_string()), "{reason}");
    let over = answer(down, Some(&ended(cooldown.0)), None);
    assert!(matches!(over, Decision::Start(Start { attempt: 1, .. })), "{over:?}");
}

#[test]
fn a_refused_attempt_is_repeated_once_what_refused_it_is_gone() {
    let refused = incident(&[Some(End::Refused)], None);
    let starts = |blocking: Option<&[String]>| {
        matches!(answer([Say::Down; 3], Some(&refused), blocking), Decision::Start(Start { attempt: 2, .. }))
    };
    assert!(starts(Some(&[])));
    assert!(starts(Some(&["PF-08:api".to_owned()])), "only what refused it counts");
    assert!(!starts(Some(&["PF-04:metadata".to_owned()])));
    assert!(!starts(None), "unknown is not gone");
    for end in [End::RolledBack, End::NeedsOperator, End::Unfinished] {
        let ended = incident(&[Some(end)], None);
        let decision = answer([Say::Down; 3], Some(&ended), Some(&[]));
        assert!(matches!(decision, Decision::Page { .. }), "{end} is for people: {decision:?}");
    }
}

#[test]
fn a_later_attempt_keeps_the_first_onset() {
    let refused = incident(&[Some(End::Refused)], None);
    let Decision::Start(Start { onset, incident, .. }) = answer([Say::Down; 3], Some(&refused), Some(&[]))
    else {
        panic!("not started")
    };
    assert_eq!((onset, incident.as_str()), (refused.onset, ID));
}

#[test]
fn only_an_automatic_plan_goes_alone() {
    let mut plan = plan();
    for (mode, alone) in [(Mode::Approval, false), (Mode::Automatic, true)] {
        plan.policy.failover = mode;
        assert_eq!(understudy_core::decide::may_promote_alone(&plan, NOW), alone);
    }
    assert!(plan.stores.first().expect("a store").required);
}

fn asked(
    kind: Kind,
    lease: &Standing,
    sayings: [Say; 3],
    incident: Option<&Incident>,
    hold: Option<&str>,
) -> Decision {
    asked_of(&plan(), kind, lease, sayings, incident, hold)
}

fn asked_of(
    plan: &Plan,
    kind: Kind,
    lease: &Standing,
    sayings: [Say; 3],
    incident: Option<&Incident>,
    hold: Option<&str>,
) -> Decision {
    let votes = votes(sayings);
    let hold = hold.map(|by| held(by, None));
    let hold = hold.as_ref();
    let question = Question { incident, hold, ..question(plan, &votes, lease) };
    decide_asked(&question, &Request { kind, by: "sre-1".to_owned(), why: "a test".to_owned() })
}

fn held(by: &str, category: Option<Category>) -> Flag {
    Flag {
        raised: true,
        by: by.to_owned(),
        why: "wrong sums".to_owned(),
        at: NOW,
        category,
        also: Vec::new(),
    }
}

/// Corruption and security incidents never promote (L8): nothing starts, whatever the votes, the lease and people say.
#[test]
fn what_was_declared_starts_nothing_and_says_the_road() {
    for category in [Category::Corruption, Category::Security] {
        let hold = held("dba", Some(category));
        let rehearsal = plan().rehearsal().expect("the example names its twin");
        for (lease, sayings) in
            leases().into_iter().flat_map(|lease| SAYINGS.map(|say| (lease.clone(), [say; 3])))
        {
            for plan in [&plan(), &rehearsal] {
                let votes = votes(sayings);
                let hold = Some(&hold);
                let question = Question { hold, ..question(plan, &votes, &lease) };
                assert!(!matches!(decide(&question), Decision::Start(_)), "{lease:?} {sayings:?}");
                for kind in [Kind::Failover, Kind::Switchover, Kind::Drill] {
                    let request = Request { kind, by: "sre-1".to_owned(), why: "a test".to_owned() };
                    let Decision::Declined { reason } = decide_asked(&question, &request) else {
                        panic!("{kind:?} {lease:?}")
                    };
                    assert!(
                        reason.contains(category.road()) && reason.contains("`dba`: wrong sums"),
                        "{reason}"
                    );
                }
            }
        }
        let lost = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
        let (plan, votes, hold) = (plan(), votes([Say::Down; 3]), Some(&hold));
        let question = Question { hold, ..question(&plan, &votes, &lost) };
        let Decision::Page { reason, .. } = decide(&question) else { panic!("not paged") };
        assert!(reason.contains(category.road()), "{reason}");
    }
}

/// A drill needs what a switchover needs, and a plan that is no production's (L9).
#[test]
fn a_drill_starts_in_a_rehearsal_environment_only() {
    let rehearsal = plan().rehearsal().expect("the example names its twin");
    for lease in leases() {
        let starts = |plan: &Plan, kind| {
            matches!(asked_of(plan, kind, &lease, [Say::Up; 3], None, None), Decision::Start(_))
        };
        assert!(!starts(&plan(), Kind::Drill), "{lease:?}");
        assert_eq!(starts(&rehearsal, Kind::Drill), starts(&rehearsal, Kind::Switchover), "{lease:?}");
    }
    let lives = Standing::Renewed { keeper: "standby".to_owned(), seen_at: NOW, ttl: Millis::from_secs(240) };
    assert!(matches!(
        asked_of(&rehearsal, Kind::Drill, &lives, [Say::Up; 3], None, Some("sre-2")),
        Decision::Declined { .. }
    ));
}

/// Whatever a person asks for, the lease decides which of the two it may be, and never both.
#[test]
fn a_request_starts_only_what_the_evidence_allows() {
    for lease in leases() {
        for sayings in SAYINGS.map(|say| [say; 3]) {
            let starts = |kind| matches!(asked(kind, &lease, sayings, None, None), Decision::Start(_));
            let down = sayings == [Say::Down; 3];
            let silent = matches!(lease, Standing::Stale { .. });
            let unreadable = matches!(lease, Standing::Unknown { .. }) && down;
            assert_eq!(starts(Kind::Failover), silent || unreadable, "{lease:?} {sayings:?}");
            let lives = matches!(lease, Standing::Renewed { .. });
            assert_eq!(starts(Kind::Switchover), lives, "{lease:?} {sayings:?}");
            for kind in [Kind::Failover, Kind::Switchover] {
                let held = asked(kind, &lease, sayings, None, Some("sre-2"));
                assert!(matches!(held, Decision::Declined { .. }), "{held:?}");
            }
        }
    }
}

/// Only what stopped half-way is gone on from, under the lease whoever holds it; and nothing planned begins beside it.
#[test]
fn only_what_stopped_half_way_goes_on() {
    let lease = Standing::Moved { epoch: 2 };
    let (plan, votes) = (plan(), votes([Say::Down; 3]));
    let continued = |incident: Option<&Incident>, hold: Option<&Flag>| {
        let question = Question { incident, hold, ..question(&plan, &votes, &lease) };
        decide_continue(&question, "sre-1", "a test")
    };
    let on_hold = held("sre-2", None);
    for (ends, from) in [
        (vec![Some(End::NeedsOperator)], Some(1)),
        (vec![Some(End::Unfinished)], Some(1)),
        (vec![Some(End::NeedsOperator), Some(End::Refused)], Some(1)),
        (vec![Some(End::NeedsOperator), Some(End::NeedsOperator)], Some(2)),
        (vec![Some(End::NeedsOperator), Some(End::RolledBack)], None),
        (vec![Some(End::Refused)], None),
        (vec![Some(End::RolledBack)], None),
    ] {
        let half_way = incident(&ends, None);
        let decided = continued(Some(&half_way), None);
        match from {
            Some(number) => {
                let Decision::Start(start) = &decided else { panic!("{ends:?}: {decided:?}") };
                assert_eq!(start.continues, Some(execution_name(ID, number)), "{ends:?}");
                assert_eq!(usize::try_from(start.attempt), Ok(ends.len() + 1));
            }
            None => assert!(matches!(decided, Decision::Declined { .. }), "{ends:?}: {decided:?}"),
        }
        let back = asked(Kind::Failback, &lease, [Say::Down; 3], Some(&half_way), None);
        assert_eq!(matches!(back, Decision::Start(_)), from.is_none(), "{ends:?}: {back:?}");
        assert!(matches!(continued(Some(&half_way), Some(&on_hold)), Decision::Declined { .. }));
    }
    let running = incident(&[Some(End::NeedsOperator), None], None);
    assert!(matches!(continued(Some(&running), None), Decision::Running { .. }));
    assert!(matches!(continued(None, None), Decision::Declined { .. }));
}

/// What refuses one attempt after the other, and is gone in between, fills no item with attempts and no night with them.
#[test]
fn attempts_that_are_refused_in_a_row_come_slower_and_are_not_kept_for_ever() {
    let stale = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
    let (plan, votes) = (plan(), votes([Say::Down; 3]));
    let starts = |incident: &Incident| {
        let question =
            Question { incident: Some(incident), blocking: Some(&[]), ..question(&plan, &votes, &stale) };
        decide(&question)
    };
    for (refused, wait) in [(1, 0), (3, 0), (4, 2), (5, 4), (6, 8), (7, 15), (20, 15)] {
        let mut many = incident(&vec![Some(End::Refused); refused], None);
        let mut ended = |ago: u64| {
            let last = many.attempts.last_mut().and_then(|last| last.ended.as_mut()).expect("it ended");
            last.at = before(NOW, plan.tick.times(ago));
            starts(&many)
        };
        assert!(matches!(ended(wait), Decision::Start(_)), "{refused}");
        if wait > 0 {
            let early = ended(wait - 1);
            assert!(
                matches!(&early, Decision::Watch { reason } if reason.contains("waits a while")),
                "{early:?}"
            );
        }
    }
    let mut current = incident(&[Some(End::RolledBack), Some(End::Refused)], None);
    for _ in 0..500 {
        let Decision::Start(start) = ({
            let mut later = current.clone();
            if let Some(ended) = later.attempts.last_mut().and_then(|last| last.ended.as_mut()) {
                ended.at = before(NOW, plan.tick.times(20));
            }
            starts(&later)
        }) else {
            panic!("{current:?}")
        };
        let number = start.attempt;
        let Change::Write(mut next) = open_attempt(Some(&current), Some(ID), &start, NOW) else {
            panic!("not opened")
        };
        let refused =
            Ended { took_nothing: false, at: NOW, end: End::Refused, blocking: vec!["PF-01:rag".to_owned()] };
        let last = next.attempts.last_mut().expect("it was opened");
        assert_eq!(last.number, number);
        last.ended = Some(refused);
        current = next;
    }
    assert!(current.attempts.len() < 40 && current.attempts.iter().any(|kept| kept.refused_by().is_none()));
    assert_eq!(current.attempts.last().map(|last| last.number), Some(502), "and each has its own name");
}

#[test]
fn a_person_may_ask_again_where_the_votes_would_not() {
    let lost = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
    let refused = incident(&[Some(End::Refused)], None);
    let again = asked(Kind::Failover, &lost, [Say::Down; 3], Some(&refused), None);
    assert!(matches!(again, Decision::Start(Start { attempt: 2, asked: Some(_), .. })), "{again:?}");
    let running = incident(&[None], None);
    let twice = asked(Kind::Failover, &lost, [Say::Down; 3], Some(&running), None);
    assert!(matches!(twice, Decision::Running { .. }), "{twice:?}");
}

/// A planned move that was taken back is no reason to leave a primary unprotected for a cooldown.
#[test]
fn a_planned_move_that_was_taken_back_holds_nothing_up() {
    let mut planned = incident(&[Some(End::RolledBack)], Some(before(NOW, Millis::from_secs(60))));
    assert!(matches!(answer([Say::Down; 3], Some(&planned), None), Decision::Page { .. }), "cooldown");
    planned.onset = None;
    assert!(matches!(answer([Say::Down; 3], Some(&planned), None), Decision::Start(_)));
}

/// Closing the lease of a primary that somebody sees stops its writers once its guard is back; where no receipt can come of
/// it, nothing is begun.
#[test]
fn a_failover_that_no_receipt_can_come_of_is_not_begun() {
    let stale = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
    let request = Request { kind: Kind::Failover, by: "sre-1".to_owned(), why: "a test".to_owned() };
    let plan = plan();
    let starts = |sayings, unarmed| {
        let votes = votes(sayings);
        decide_asked(&Question { unarmed, ..question(&plan, &votes, &stale) }, &request)
    };
    let stay = Some("the plan says `on_loss: stay`");
    assert!(matches!(starts([Say::Up; 3], None), Decision::Start(_)), "its lease ran out, and that stops it");
    let Decision::Declined { reason } = starts([Say::Up, Say::Unknown, Say::Unknown], stay) else {
        panic!("begun")
    };
    assert!(reason.contains("on_loss: stay") && reason.contains("off the net"), "{reason}");
    assert!(
        matches!(starts([Say::Unknown; 3], stay), Decision::Start(_)),
        "nobody sees it: a risk to be taken"
    );
    assert!(matches!(starts([Say::Down; 3], stay), Decision::Start(_)));
}

/// What stands half-way is one matter, and a primary that dies two days later another: the page says so, and anew.
#[test]
fn an_outage_beside_what_stands_half_way_is_told() {
    let plan = plan();
    let told = |sayings, lease: &Standing| {
        let (votes, half_way) = (votes(sayings), incident(&[Some(End::NeedsOperator)], None));
        match decide(&Question { incident: Some(&half_way), ..question(&plan, &votes, lease) }) {
            Decision::Page { reason, dedup } => (reason, dedup),
            other => panic!("{other:?}"),
        }
    };
    let stale = Standing::Stale { since: before(NOW, Millis::from_secs(200)) };
    let (calm, matter) = told([Say::Up; 3], &stale);
    assert!(!calm.contains("DOWN"), "{calm}");
    let (down, other) = told([Say::Down; 3], &stale);
    assert!(down.contains("THE PRIMARY IS DOWN") && down.contains("understudy failover"), "{down}");
    assert_ne!(matter, other);
    let (moved, same) = told([Say::Down; 3], &Standing::Moved { epoch: 2 });
    assert!(!moved.contains("DOWN") && same == matter, "the standby holds the lease: {moved}");
}
