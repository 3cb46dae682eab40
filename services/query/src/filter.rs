//! Which rows somebody wants.

use ovomesh_api::Invalid;
use ovomesh_api::pb::query::v1::Filter;
use ovomesh_api::pb::scan::v1::{Call, Purpose, Row};

/// A checked filter: a row is kept when it matches all of what is set.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    site: String,
    line: String,
    filter: Filter,
}

impl Wanted {
    /// Of any place.
    pub fn anywhere(filter: Option<Filter>) -> Result<Self, Invalid> {
        Self::at(String::new(), String::new(), filter)
    }

    /// Of a site and a line; empty: of any.
    pub fn at(site: String, line: String, filter: Option<Filter>) -> Result<Self, Invalid> {
        let filter = filter.unwrap_or_default();
        for call in &filter.calls {
            Call::try_from(*call)
                .map_err(|_| Invalid::field("filter.calls", call, "values of Call, 1 to 4"))?;
        }
        for purpose in &filter.purposes {
            let limit = "values of Purpose, 1 to 3";
            Purpose::try_from(*purpose).map_err(|_| Invalid::field("filter.purposes", purpose, limit))?;
        }
        Ok(Self { site, line, filter })
    }

    /// Whether it wants this row.
    pub fn keeps(&self, row: &Row) -> bool {
        let Filter { calls, purposes, tray_run, batch_id } = &self.filter;
        let place = row.place.as_ref();
        let call = row.verdict.as_ref().map_or(0, |verdict| verdict.call);
        let same = |wanted: &str, is: Option<&str>| wanted.is_empty() || is == Some(wanted);
        same(&self.site, place.map(|p| p.site.as_str()))
            && same(&self.line, place.map(|p| p.line.as_str()))
            && same(tray_run, place.map(|p| p.tray_run.as_str()))
            && same(batch_id, Some(&row.batch_id))
            && (calls.is_empty() || calls.contains(&call))
            && (purposes.is_empty() || purposes.contains(&row.purpose))
    }
}

#[cfg(test)]
mod tests {
    use ovomesh_api::pb::scan::v1::{Place, Verdict};

    use super::*;

    #[test]
    fn a_row_must_match_all_of_what_is_set() {
        let row = Row {
            place: Some(Place { site: "n".into(), line: "1".into(), tray_run: "t".into(), slot: 1 }),
            purpose: Purpose::Test.into(),
            verdict: Some(Verdict { call: Call::Male.into(), ..Default::default() }),
            ..Default::default()
        };
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
        let unknown = Filter { calls: vec![77], ..Default::default() };
        assert_eq!(Wanted::anywhere(Some(unknown)).unwrap_err().field, "filter.calls");
    }
}
