//! When the application matters most: sessions, holidays, half-days, and planned work.
//!
//! A session is written in the time zone of its market, whatever Region looks at it, and daylight saving moves it. All
//! of this is a function of the instant that is handed in; nothing here reads a clock.

use super::model::{Mode, Plan};
use super::record::{many, rec, record};
use super::units::{DATE, DAY, INSTANT, TEXT, TIME, TIME_ZONE};
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

pub(super) const DAYS_EXAMPLE: &str = "[mon, tue, wed, thu, fri]";
pub(super) const EXAMPLE: &str = "{time_zone: America/New_York, \
    sessions: [{days: [mon, tue, wed, thu, fri], open: \"09:30\", close: \"16:00\"}]}";
pub(super) const MAINTENANCE_EXAMPLE: &str =
    "[{from: 2026-11-28T02:00:00Z, to: 2026-11-28T04:00:00Z, why: database patch}]";

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    fn of(date: Date) -> Self {
        match date.weekday() {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

record! {
    /// When the application matters most.
    Calendar, "the fields of the calendar" {
        /// Of every time and date here.
        time_zone: String = need(TIME_ZONE, "America/New_York");
        sessions: Vec<SessionHours> = need(
            many("a list of sessions", rec()),
            "[{days: [mon, tue, wed, thu, fri], open: \"09:30\", close: \"16:00\"}]"
        );
        /// Days without a session.
        holidays: Vec<Date> = any(many("a list of dates", DATE), "[2026-11-26, 2026-12-25]");
        /// Days on which every session ends early.
        half_days: Vec<HalfDay> = any(many("a list of half-days", rec()), "[{day: 2026-11-27, close: \"13:00\"}]");
    }
}

record! {
    /// The hours of a session. One that closes at or before it opens ends on the next day.
    SessionHours, "the fields of a session" {
        /// The days on which it opens.
        days: Vec<Day> = need(many("a list of days", DAY), DAYS_EXAMPLE);
        /// The first moment that belongs to it.
        open: Time = need(TIME, "\"09:30\"");
        /// The first moment that does not.
        close: Time = need(TIME, "\"16:00\"");
    }
}

impl SessionHours {
    /// `mon tue wed 09:30-16:00`
    pub(crate) fn words(&self) -> String {
        let days: Vec<String> = self.days.iter().map(|day| (DAY.show)(day)).collect();
        format!("{} {}-{}", days.join(" "), clock(self.open), clock(self.close))
    }
}

record! {
    /// A day that ends early.
    HalfDay, "the fields of a half-day" {
        day: Date = need(DATE, "2026-11-27");
        close: Time = need(TIME, "\"13:00\"");
    }
}

record! {
    /// Planned work: nothing moves by itself meanwhile.
    Maintenance, "the fields of a maintenance window" {
        from: Timestamp = need(INSTANT, "2026-11-28T02:00:00Z");
        /// The first moment after it.
        to: Timestamp = need(INSTANT, "2026-11-28T04:00:00Z");
        why: String = need(TEXT, "database patch");
    }
}

/// Where an instant lies in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    Open { until: Timestamp },
    Closed,
}

impl Calendar {
    /// The session that holds `at`. A zone that this build does not know has no sessions to be sure of, so that the
    /// reader refuses it; where it happens all the same, `None`: not known (L4).
    #[must_use]
    pub fn session(&self, at: Timestamp) -> Option<Session> {
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let today = at.to_zoned(zone.clone()).date();
        // A session that crosses midnight began yesterday.
        let days = [today.checked_sub(1.day()).ok()?, today];
        let open = days
            .into_iter()
            .flat_map(|day| self.sessions_on(day, &zone))
            .find(|(from, to)| *from <= at && at < *to);
        Some(open.map_or(Session::Closed, |(_, until)| Session::Open { until }))
    }

    /// Opening and closing instants of the sessions that open on `day`. Where the clocks skip or repeat a written time,
    /// a session is rather open too long than too short.
    fn sessions_on(&self, day: Date, zone: &TimeZone) -> Vec<(Timestamp, Timestamp)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        let early = |day: Date| self.half_days.iter().find(|half| half.day == day).map(|half| half.close);
        let hours = self.sessions.iter().filter(|hours| hours.days.contains(&Day::of(day)));
        hours
            .filter_map(|hours| {
                let overnight = hours.close <= hours.open;
                let last_day = if overnight { day.checked_add(1.day()).ok()? } else { day };
                // An early end is that of what is open by then; what opens behind it, such as a night, is as ever.
                let ends = |day: Date| early(day).map(|early| day.to_datetime(early));
                let opens = day.to_datetime(hours.open);
                let early = [ends(day), ends(last_day)].into_iter().flatten().filter(|early| *early > opens);
                let close = early.chain([last_day.to_datetime(hours.close)]).min()?;
                let from = zone.to_ambiguous_timestamp(day.to_datetime(hours.open)).earlier().ok()?;
                let to = zone.to_ambiguous_timestamp(close).later().ok()?;
                (from < to).then_some((from, to))
            })
            .collect()
    }
}

impl Plan {
    /// Whether a failover at `at` waits for people (L8). A session that cannot be told is taken for one: asking is
    /// never wrong.
    #[must_use]
    pub fn mode_at(&self, at: Timestamp) -> Mode {
        let (Some(calendar), Some(in_session)) = (&self.calendar, self.policy.in_session) else {
            return self.policy.failover;
        };
        match calendar.session(at) {
            Some(Session::Closed) => self.policy.failover,
            Some(Session::Open { .. }) => in_session,
            None => Mode::Approval,
        }
    }

    /// Why no drill may start at `at`, if the plan guards it. What cannot be told guards too (L4).
    #[must_use]
    pub fn guarded_at(&self, at: Timestamp) -> Option<String> {
        let guard = self.drill_guard.as_ref()?;
        if guard.outside_sessions {
            match self.calendar.as_ref().and_then(|calendar| calendar.session(at)) {
                Some(Session::Closed) => {}
                Some(Session::Open { until }) => return Some(format!("a session is open until {until}")),
                None => return Some("whether a session is open is not known".to_owned()),
            }
        }
        let hours = guard.not_between.as_ref()?;
        let Ok(zone) = TimeZone::get(&hours.time_zone) else {
            return Some(format!("the time zone {} is not known", hours.time_zone));
        };
        let local = at.to_zoned(zone).datetime();
        let within = hours.days.contains(&Day::of(local.date()))
            && hours.from <= local.time()
            && local.time() < hours.to;
        within.then(|| {
            format!(
                "the plan keeps {} to {} {} free of drills",
                clock(hours.from),
                clock(hours.to),
                hours.time_zone
            )
        })
    }

    /// The planned work that is under way at `at`.
    #[must_use]
    pub fn maintenance_at(&self, at: Timestamp) -> Option<&Maintenance> {
        self.maintenance.iter().find(|window| window.from <= at && at < window.to)
    }
}

fn clock(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}
