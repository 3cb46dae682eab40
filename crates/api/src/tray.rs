//! Trays as a scanner announces them: checked and answered.

use crate::pb::scan::v1 as pb;
use crate::pb::scanner::v1::{TrayAccepted, TrayClosed, TrayOpened};
use crate::scan::MAX_SLOT;
use crate::{Invalid, LineId, Place};

/// A tray that enters a scanner or has left it, as it was received.
#[derive(Debug)]
pub struct Tray {
    /// Where it is, unchecked.
    pub place: Option<pb::Place>,
    eggs: u32,
    closed: bool,
}

impl From<TrayOpened> for Tray {
    fn from(TrayOpened { place, eggs }: TrayOpened) -> Self {
        Self { place, eggs, closed: false }
    }
}

impl From<TrayClosed> for Tray {
    fn from(TrayClosed { place, eggs }: TrayClosed) -> Self {
        Self { place, eggs, closed: true }
    }
}

impl Tray {
    /// Checks it and answers it; `lines` are those that the session's Hello named.
    ///
    /// # Errors
    /// Names the field at fault, its value and the limit.
    pub fn accept(self, lines: &[LineId]) -> Result<TrayAccepted, Invalid> {
        let place = Place::parse(self.place)?;
        place.must_be_one_of(lines)?;
        if place.tray_run.is_empty() {
            return Err(Invalid::field("place.tray_run", "", "1 to 128 bytes without control characters"));
        }
        if place.slot != 0 {
            return Err(Invalid::field("place.slot", place.slot, "0: a tray is in no slot"));
        }
        if self.eggs > MAX_SLOT {
            return Err(Invalid::field("eggs", self.eggs, format!("0 to {MAX_SLOT}")));
        }
        Ok(TrayAccepted { tray_run: place.tray_run, closed: self.closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(tray_run: &str, slot: u32, eggs: u32) -> Tray {
        let place = pb::Place { site: "north".into(), line: "1".into(), tray_run: tray_run.into(), slot };
        TrayOpened { place: Some(place), eggs }.into()
    }

    #[test]
    fn a_tray_is_accepted_by_its_run() {
        let accepted = opened("T7", 0, MAX_SLOT).accept(&[]).unwrap();
        assert_eq!(accepted, TrayAccepted { tray_run: "T7".into(), closed: false });
        let closed = TrayClosed { place: opened("T7", 0, 0).place, eggs: 149 };
        assert!(Tray::from(closed).accept(&[]).unwrap().closed);
    }

    #[test]
    fn a_tray_at_fault_has_its_field_named() {
        let other = [LineId::parse("north", "2").unwrap()];
        let faults = [
            (Tray::from(TrayOpened::default()).accept(&[]), "place"),
            (opened("", 0, 1).accept(&[]), "place.tray_run"),
            (opened(&"T".repeat(129), 0, 1).accept(&[]), "place.tray_run"),
            (opened("T7", 3, 1).accept(&[]), "place.slot"),
            (opened("T7", 0, MAX_SLOT + 1).accept(&[]), "eggs"),
            (opened("T7", 0, 1).accept(&other), "place"),
        ];
        for (answer, field) in faults {
            assert_eq!(answer.unwrap_err().field, field);
        }
    }
}
