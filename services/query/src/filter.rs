//! Which rows somebody wants.

use ovomesh_api::pb::query::v1::Filter;
use ovomesh_api::pb::scan::v1::{Call, Purpose};
use ovomesh_api::{EncodedRow, Invalid, Line, Row, Site};

use crate::stored::Stored;

/// A checked filter: a row is kept when it matches all of what is set.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    site: String,
    line: String,
    filter: Filter,
}

impl Wanted {
    pub fn anywhere(filter: Option<Filter>) -> Result<Self, Invalid> {
        Self::at(String::new(), String::new(), filter)
    }

    /// Of a site and a line; empty: of any.
    pub fn at(site: String, line: String, filter: Option<Filter>) -> Result<Self, Invalid> {
        site_if_any(&site)?;
        if !line.is_empty() {
            self::line(&line)?;
        }
        let filter = filter.unwrap_or_default();
        for &call in &filter.calls {
            if !Call::try_from(call).is_ok_and(|call| call != Call::Unspecified) {
                return Err(Invalid::field("filter.calls", call, "values of Call, 1 to 4"));
            }
        }
        for &purpose in &filter.purposes {
            if !Purpose::try_from(purpose).is_ok_and(|purpose| purpose != Purpose::Unspecified) {
                return Err(Invalid::field("filter.purposes", purpose, "values of Purpose, 1 to 3"));
            }
        }
        Ok(Self { site, line, filter })
    }

    /// Whether it wants this row.
    pub fn keeps(&self, row: &Row) -> bool {
        let Filter { calls, purposes, tray_run, batch_id } = &self.filter;
        let (meta, place) = (&row.meta, &row.meta.place);
        let same = |wanted: &str, is: &str| wanted.is_empty() || is == wanted;
        same(&self.site, place.site().as_str())
            && same(&self.line, place.line().as_str())
            && same(tray_run, &place.tray_run)
            && same(batch_id, &meta.batch_id)
            && (calls.is_empty() || calls.contains(&row.verdict.call.to_pb().into()))
            && (purposes.is_empty() || purposes.contains(&meta.purpose.into()))
    }

    /// The answers that it wants of these.
    pub fn answers(&self, rows: &[Stored]) -> Vec<EncodedRow> {
        let kept = rows.iter().filter(|stored| self.keeps(&stored.row));
        kept.map(|stored| stored.answer.clone()).collect()
    }
}

/// The name of a site in a question, where it is not part of a place.
pub fn site(text: &str) -> Result<Site, Invalid> {
    Site::parse(text).map_err(|error| renamed(error, "place.site", "site"))
}

/// The same where it may be left out.
pub fn site_if_any(text: &str) -> Result<(), Invalid> {
    if text.is_empty() { Ok(()) } else { site(text).map(drop) }
}

/// The same of a line.
pub fn line(text: &str) -> Result<Line, Invalid> {
    Line::parse(text).map_err(|error| renamed(error, "place.line", "line"))
}

fn renamed(error: Invalid, from: &str, field: &'static str) -> Invalid {
    Invalid { field, message: error.message.replacen(from, field, 1), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_must_match_all_of_what_is_set() {
        let mut row = Row::example("n", "1", "s");
        row.meta.place.tray_run = "t".into();
        row.meta.purpose = Purpose::Test;
        let keeps = |site: &str, filter: Filter| {
            Wanted::at(site.into(), String::new(), Some(filter)).unwrap().keeps(&row)
        };
        assert!(
            keeps("", Filter::default()) && keeps("n", Filter::default()) && !keeps("m", Filter::default())
        );
        let male = Filter { calls: vec![Call::Male.into()], tray_run: "t".into(), ..Default::default() };
        assert!(keeps("n", male.clone()));
        assert!(!keeps("n", Filter { purposes: vec![Purpose::Production.into()], ..male.clone() }));
        assert!(!keeps("n", Filter { batch_id: "b".into(), ..male }));
    }

    #[test]
    fn a_filter_that_can_match_nothing_is_named() {
        for call in [0, 77] {
            let filter = Filter { calls: vec![call], ..Default::default() };
            assert_eq!(Wanted::anywhere(Some(filter)).unwrap_err().field, "filter.calls");
        }
        let filter = Filter { purposes: vec![0], ..Default::default() };
        assert_eq!(Wanted::anywhere(Some(filter)).unwrap_err().field, "filter.purposes");
        let error = Wanted::at("no site".into(), String::new(), None).unwrap_err();
        assert!(error.field == "site" && error.message.starts_with("site holds"), "{error}");
    }
}
