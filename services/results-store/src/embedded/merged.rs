//! One table of all segments, read as if it were one.

use fjall::{Iter, Keyspace, Readable as _, Snapshot, UserKey, UserValue};

use super::segment::Segment;
use super::segments::Listed;

/// What is at a key, and in which segment.
pub(super) struct Entry<'a> {
    pub segment: &'a Segment,
    pub key: UserKey,
    pub value: UserValue,
}

/// Entries in the order of their keys. No key is in two segments.
pub(super) struct Merged<'a> {
    sources: Vec<Source<'a>>,
}

struct Source<'a> {
    segment: &'a Segment,
    head: (UserKey, UserValue),
    rest: Iter,
}

/// Which table of a segment.
pub(super) type Table = fn(&Segment) -> &Keyspace;

impl<'a> Merged<'a> {
    /// The entries of a range of keys.
    pub fn range(
        now: &Snapshot,
        segments: &'a Listed,
        table: Table,
        range: impl std::ops::RangeBounds<Vec<u8>> + Clone,
    ) -> fjall::Result<Self> {
        let mut sources = Vec::with_capacity(segments.len());
        for segment in segments.iter() {
            let mut rest = now.range(table(segment), range.clone());
            if let Some(head) = rest.next() {
                sources.push(Source { segment, head: head.into_inner()?, rest });
            }
        }
        Ok(Self { sources })
    }

    /// The next entry; not an `Iterator`, whose `next` could not use `?`.
    pub fn next(&mut self) -> fjall::Result<Option<Entry<'a>>> {
        let heads = self.sources.iter().enumerate();
        let Some((first, _)) = heads.min_by(|(_, a), (_, b)| a.head.0.cmp(&b.head.0)) else {
            return Ok(None);
        };
        let source = &mut self.sources[first];
        let segment = source.segment;
        let (key, value) = match source.rest.next() {
            Some(next) => std::mem::replace(&mut source.head, next.into_inner()?),
            None => self.sources.swap_remove(first).head,
        };
        Ok(Some(Entry { segment, key, value }))
    }
}
