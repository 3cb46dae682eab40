//! Keys whose bytes sort as what they mean.
//!
//! Names end with a zero, which their alphabet does not have, so that no name is a prefix of another one's key.

use jiff::Timestamp;
use ovomesh_api::{EggId, LineId, ScanId, Site};

/// site, line, acquired_at, scan_id: a line in order of time.
pub fn line(line: &LineId, at: Timestamp, scan_id: &ScanId) -> Vec<u8> {
    token(line, at, scan_id.as_str())
}

/// The first key of a line that is not before `at`.
pub fn line_from(line: &LineId, at: Timestamp) -> Vec<u8> {
    let mut key = line_prefix(line);
    key.extend(ascending(at));
    key
}

/// What all keys of a site begin with.
pub fn site_prefix(site: &Site) -> Vec<u8> {
    name(site.as_str())
}

/// The line that a key belongs to.
pub fn read_line(key: &[u8]) -> Option<LineId> {
    let mut names = key.split(|byte| *byte == 0).map(std::str::from_utf8);
    LineId::parse(names.next()?.ok()?, names.next()?.ok()?).ok()
}

/// A bound between the keys of a line and those of all later lines.
pub fn after_line(line: &LineId) -> Vec<u8> {
    let mut key = line_prefix(line);
    // Names have no byte below the hyphen.
    key.pop();
    key.push(1);
    key
}

/// What all keys of a line begin with.
pub fn line_prefix(line: &LineId) -> Vec<u8> {
    let mut key = name(line.site.as_str());
    key.extend(line.line.as_str().as_bytes());
    key.push(0);
    key
}

/// All that [`line`] was made of.
pub fn read_row(key: &[u8]) -> Option<(LineId, Timestamp, ScanId)> {
    let mut names = key.splitn(3, |byte| *byte == 0);
    let mut name = || std::str::from_utf8(names.next()?).ok();
    let line = LineId::parse(name()?, name()?).ok()?;
    let (at, scan_id) = read_token(&line, key)?;
    Some((line, at, scan_id))
}

/// Where a page of a line continues: after the row that was its last.
pub fn token(line: &LineId, at: Timestamp, scan_id: &str) -> Vec<u8> {
    let mut key = line_from(line, at);
    key.extend(scan_id.as_bytes());
    key
}

/// The time and the scan of a token that [`token`] made for this line.
pub fn read_token(line: &LineId, token: &[u8]) -> Option<(Timestamp, ScanId)> {
    let rest = token.strip_prefix(line_prefix(line).as_slice())?;
    let (at, scan_id) = rest.split_first_chunk()?;
    let at = read_ascending(*at)?;
    Some((at, ScanId::parse(std::str::from_utf8(scan_id).ok()?).ok()?))
}

/// scan_id, site: a scan, beside those of other sites that have its id.
pub fn scan(scan_id: &ScanId, site: &Site) -> Vec<u8> {
    let mut key = scans(scan_id);
    key.extend(site.as_str().as_bytes());
    key
}

/// What the keys of all scans of this id begin with.
pub fn scans(scan_id: &ScanId) -> Vec<u8> {
    name(scan_id.as_str())
}

/// egg_id, site, acquired_at backwards, scan_id: an egg, newest first, beside those of other sites that have its name.
pub fn egg(egg_id: &EggId, site: &Site, at: Timestamp, scan_id: &ScanId) -> Vec<u8> {
    let mut key = egg_of_site(egg_id, site);
    key.extend(ascending(at).map(|byte| !byte));
    key.extend(scan_id.as_str().as_bytes());
    key
}

/// The site, the time and the scan of a key that [`egg`] made for an egg of this name.
pub fn read_egg(egg_id: &EggId, key: &[u8]) -> Option<(Site, Timestamp, ScanId)> {
    let site = site_after(&eggs(egg_id), key)?;
    let (at, scan_id) = key.strip_prefix(egg_of_site(egg_id, &site).as_slice())?.split_first_chunk()?;
    let at = read_ascending(at.map(|byte| !byte))?;
    Some((site, at, ScanId::parse(std::str::from_utf8(scan_id).ok()?).ok()?))
}

/// What all keys of an egg of a site begin with.
pub fn egg_of_site(egg_id: &EggId, site: &Site) -> Vec<u8> {
    let mut key = eggs(egg_id);
    key.extend(site.as_str().as_bytes());
    key.push(0);
    key
}

/// What the keys of all eggs of this name begin with.
pub fn eggs(egg_id: &EggId) -> Vec<u8> {
    name(egg_id.as_str())
}

/// The site of a key that begins with `prefix`, and what follows.
pub fn site_after(prefix: &[u8], key: &[u8]) -> Option<Site> {
    let rest = key.strip_prefix(prefix)?;
    let site = rest.split(|byte| *byte == 0).next()?;
    Site::parse(std::str::from_utf8(site).ok()?).ok()
}

fn name(text: &str) -> Vec<u8> {
    // With room for the rest of a usual key.
    let mut bytes = Vec::with_capacity(text.len() + 96);
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

/// Nanoseconds since 1970, moved so that times before it sort first.
fn ascending(at: Timestamp) -> [u8; 16] {
    (at.as_nanosecond().cast_unsigned() ^ (1 << 127)).to_be_bytes()
}

fn read_ascending(at: [u8; 16]) -> Option<Timestamp> {
    Timestamp::from_nanosecond((u128::from_be_bytes(at) ^ (1 << 127)).cast_signed()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = Timestamp> {
        (-4_000_000_000i64..4_000_000_000, 0i32..1_000_000_000)
            .prop_map(|(s, n)| Timestamp::new(s, n.min(999_999_999)).unwrap())
    }

    fn key() -> impl Strategy<Value = (String, String, Timestamp, String)> {
        // Short names of few letters, so that prefixes of one another are common.
        ("[a-b.]{1,3}", "[a-b.]{1,3}", time(), "[a-b:]{1,3}")
    }

    proptest! {
        #[test]
        fn keys_of_a_line_sort_by_site_line_time_and_scan(a in key(), b in key()) {
            let encode = |(s, l, t, id): &(String, String, Timestamp, String)| {
                line(&LineId::parse(s, l).unwrap(), *t, &ScanId::parse(id).unwrap())
            };
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
        }

        #[test]
        fn tokens_are_read_back_and_those_of_other_lines_are_none(a in key(), b in key()) {
            let names = |key: &(String, String, Timestamp, String)| {
                (LineId::parse(&key.0, &key.1).unwrap(), key.2, ScanId::parse(&key.3).unwrap())
            };
            let ((name, at, id), (other, ..)) = (names(&a), names(&b));
            let token = line(&name, at, &id);
            prop_assert_eq!(read_token(&name, &token), Some((at, id.clone())));
            prop_assert_eq!(read_row(&token), Some((name.clone(), at, id)));
            prop_assert!(name == other || read_token(&other, &token).is_none());
        }

        #[test]
        fn the_bound_after_a_line_is_between_it_and_the_next(a in key(), b in key()) {
            let (first, second) = (LineId::parse(&a.0, &a.1).unwrap(), LineId::parse(&b.0, &b.1).unwrap());
            let key = line(&second, b.2, &ScanId::parse(&b.3).unwrap());
            prop_assert_eq!(after_line(&first) < key, first < second);
            prop_assert_eq!(read_line(&key), Some(second));
        }

        #[test]
        fn keys_of_an_egg_sort_by_site_and_newest_first(a in ("[a-b.]{1,3}", time()), b in ("[a-b.]{1,3}", time())) {
            let (id, scan) = (EggId::parse("e").unwrap(), ScanId::parse("s").unwrap());
            let encode = |(site, at): &(String, Timestamp)| egg(&id, &Site::parse(site).unwrap(), *at, &scan);
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        }

        #[test]
        fn sites_are_read_back_and_ids_that_are_prefixes_are_other_ids(a in key(), b in key()) {
            let (site, id) = (Site::parse(&a.0).unwrap(), ScanId::parse(&a.3).unwrap());
            let (egg_id, other) = (EggId::parse(&a.3).unwrap(), ScanId::parse(&b.3).unwrap());
            prop_assert_eq!(site_after(&scans(&id), &scan(&id, &site)), Some(site.clone()));
            prop_assert_eq!(site_after(&eggs(&egg_id), &egg(&egg_id, &site, a.2, &id)), Some(site.clone()));
            prop_assert_eq!(scan(&id, &site).starts_with(&scans(&other)), id == other);
            let key = egg(&egg_id, &site, a.2, &id);
            prop_assert_eq!(read_egg(&egg_id, &key), Some((site, a.2, id.clone())));
            let other_egg = EggId::parse(&b.3).unwrap();
            prop_assert_eq!(read_egg(&other_egg, &key).is_some(), id == other);
        }
    }
}
