//! Calendar months in UTC, by which budgets count.

use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};

/// A month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(Date);

impl Period {
    /// The month of a time.
    pub fn of(at: OffsetDateTime) -> Self {
        Self(first(at.to_offset(UtcOffset::UTC).date()))
    }

    /// The month that begins on a day, as the database has it.
    pub fn starting(day: Date) -> Self {
        Self(first(day))
    }

    /// Its first day.
    pub fn start(self) -> Date {
        self.0
    }

    /// Its first moment.
    pub fn begin(self) -> OffsetDateTime {
        self.0.with_time(Time::MIDNIGHT).assume_utc()
    }

    /// The first moment of the next month.
    pub fn end(self) -> OffsetDateTime {
        Self(first(self.0 + Duration::days(31))).begin()
    }
}

fn first(day: Date) -> Date {
    day.replace_day(1).expect("every month has a first day")
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins_whatever_its_length_and_the_offset() {
        for (at, start, end) in [
            (
                datetime!(2026-01-31 23:59:59.999999 UTC),
                date!(2026 - 01 - 01),
                datetime!(2026-02-01 0:00 UTC),
            ),
            (datetime!(2026-02-01 0:00 UTC), date!(2026 - 02 - 01), datetime!(2026-03-01 0:00 UTC)),
            (datetime!(2028-02-29 12:00 UTC), date!(2028 - 02 - 01), datetime!(2028-03-01 0:00 UTC)),
            (datetime!(2026-12-31 23:30 -1), date!(2027 - 01 - 01), datetime!(2027-02-01 0:00 UTC)),
            (datetime!(2026-12-31 23:30 UTC), date!(2026 - 12 - 01), datetime!(2027-01-01 0:00 UTC)),
        ] {
            assert_eq!((Period::of(at).start(), Period::of(at).end()), (start, end), "{at}");
        }
    }
}
