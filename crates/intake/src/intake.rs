//! Images become scans.

use dicom_core::Tag;
use jiff::Timestamp;
use ovomesh_api::intake::{Complete, Fields, Origin};
use ovomesh_api::line::NoLine;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::time::AcquiredAt;
use ovomesh_api::{Image, LineBook, Place, ScanId, ScanKey, ScanMeta};
use ovomesh_imaging::dicom::{self, Acquired, Attributes, Series};

use crate::{Error, acquired_at, volume, wire};

/// How an image arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOrigin {
    /// AE title of the sender, if it arrived by DICOM.
    pub calling_ae: Option<String>,
    /// AE title that was called.
    pub called_ae: Option<String>,
    /// The watched folder, if it arrived as a file.
    pub folder: Option<String>,
    /// Name of the file, or of the folder that holds the slices.
    pub file_name: Option<String>,
}

/// The configuration of the lines, ready for images.
#[derive(Debug, Clone)]
pub struct Intake {
    book: LineBook,
    /// Attributes by the names that the configuration uses.
    attributes: Vec<(String, Tag)>,
    wanted: Vec<Tag>,
}

impl Intake {
    /// Checks that the line of each image can be identified, and that all attributes exist.
    pub fn new(book: LineBook) -> Result<Self, Error> {
        book.check_sources()?;
        let named = |name: &str| {
            let tag = dicom::tag(name).ok_or_else(|| Error::Attribute(name.to_owned()))?;
            Ok((name.to_owned(), tag))
        };
        let attributes = book.attributes().map(named).collect::<Result<Vec<_>, Error>>()?;
        let mut wanted: Vec<Tag> = attributes.iter().map(|(_, tag)| *tag).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Self { book, attributes, wanted })
    }

    /// The attributes to read from each image.
    pub fn wanted(&self) -> &[Tag] {
        &self.wanted
    }

    /// The configuration itself.
    pub fn book(&self) -> &LineBook {
        &self.book
    }

    /// When a series of images that arrived this way is whole.
    ///
    /// # Errors
    /// No line takes them.
    pub fn complete(&self, origin: &ImageOrigin, attributes: &Attributes) -> Result<Complete, Error> {
        let (place, _) = self.identify(origin, attributes)?;
        Ok(self.book.get(&place.line_id).complete)
    }

    /// The scan with this id of images that arrived this way.
    pub fn key(&self, id: &str, origin: &ImageOrigin, attributes: &Attributes) -> Result<ScanKey, Error> {
        let (place, _) = self.identify(origin, attributes)?;
        Ok(ScanKey::new(place.site(), &ScanId::parse(id)?))
    }

    /// A series that was received `now` as a scan with this id, and notes for people.
    pub fn scan(
        &self,
        id: String,
        origin: &ImageOrigin,
        series: &Series,
        now: Timestamp,
    ) -> Result<(pb::Scan, Vec<String>), Error> {
        let (place, fields) = self.identify(origin, &series.attributes)?;
        let line = self.book.get(&place.line_id);
        let volume = volume(series, line.axes, line.complete.images())?;
        let scan = pb::Scan {
            scan_id: id,
            egg_id: fields.egg_id.map(|id| id.to_string()).unwrap_or_default(),
            place: Some(pb::Place {
                site: place.site().to_string(),
                line: place.line().to_string(),
                tray_run: place.tray_run,
                slot: place.slot,
            }),
            batch_id: fields.batch_id,
            coil: fields.coil,
            acquired_at: acquired_at(series.acquired, line.timezone.as_ref(), now),
            volume: Some(wire(&volume)),
            purpose: fields.purpose.unwrap_or_default().into(),
            ..Default::default()
        };
        let notes = fields.notes.into_iter().chain(series.notes.iter().cloned()).collect();
        Ok((scan, notes))
    }

    /// What is to be stored of a scan that is no whole volume. It has no checksum.
    pub fn broken(
        &self,
        id: &str,
        origin: &ImageOrigin,
        attributes: &Attributes,
        acquired: Option<Acquired>,
        now: Timestamp,
    ) -> Result<ScanMeta, Error> {
        let (place, fields) = self.identify(origin, attributes)?;
        let line = self.book.get(&place.line_id);
        let acquired = AcquiredAt::read(acquired_at(acquired, line.timezone.as_ref(), now), now);
        Ok(ScanMeta {
            scan_id: ScanId::parse(id)?,
            egg_id: fields.egg_id,
            place,
            batch_id: fields.batch_id,
            coil: fields.coil,
            purpose: fields.purpose.unwrap_or(pb::Purpose::Production),
            rescan_of: None,
            acquired_at: acquired.at,
            received_at: now,
            clock_suspect: acquired.is_suspect(now),
            image: Image::Broken,
        })
    }

    fn identify(&self, origin: &ImageOrigin, attributes: &Attributes) -> Result<(Place, Fields), NoLine> {
        let attribute = |name: &str| {
            let (_, tag) = self.attributes.iter().find(|(own, _)| own == name)?;
            attributes.get(*tag).map(str::to_owned)
        };
        self.book.identify(&Origin {
            calling_ae: origin.calling_ae.as_deref(),
            called_ae: origin.called_ae.as_deref(),
            folder: origin.folder.as_deref(),
            file_name: origin.file_name.as_deref(),
            attribute: &attribute,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use ovomesh_imaging::dicom::{Device, Label, write_enhanced};
    use ovomesh_imaging::{Header, Volume};

    fn series(intake: &Intake) -> Series {
        let header = Header::new([64, 64, 16], [1.0, 1.0, 2.8]);
        let volume = Volume::from_u16(header, &vec![7; 64 * 64 * 16]).unwrap();
        let device = Device { station: "MRI-3".into(), ..Default::default() };
        let acquired = date(2026, 11, 24).at(9, 30, 0, 0);
        let label = Label { series_uid: dicom::series_uid(5), egg_id: "T4-017-E9".into(), acquired, device };
        let file = write_enhanced(&volume, &label).unwrap();
        dicom::read([("egg.dcm", &file[..])], intake.wanted()).remove(0).unwrap()
    }

    fn intake(yaml: &str) -> Intake {
        Intake::new(LineBook::from_yaml(yaml).unwrap()).unwrap()
    }

    #[test]
    fn an_image_becomes_the_scan_that_the_configuration_says() {
        let intake = intake(
            r"lines: [{site: n, line: '3', sources: [{station: MRI-3}], read: [
                {from: PatientID, pattern: '^(?<tray_run>\w+)-(?<slot>\d+)-(?<egg_id>\w+)$'},
                {from: '(0008,1010)', into: coil}]}]",
        );
        let (scan, notes) =
            intake.scan("1.2.3".into(), &ImageOrigin::default(), &series(&intake), Timestamp::now()).unwrap();
        let place = scan.place.as_ref().unwrap();
        assert_eq!((place.site.as_str(), place.line.as_str()), ("n", "3"));
        assert_eq!((place.tray_run.as_str(), place.slot, scan.egg_id.as_str()), ("T4", 17, "E9"));
        assert_eq!((scan.coil.as_str(), scan.scan_id.as_str(), notes), ("MRI-3", "1.2.3", vec![]));
        ovomesh_api::Scan::parse(scan, 1 << 20, Timestamp::now()).unwrap();
    }

    #[test]
    fn without_a_configuration_it_is_a_scan_all_the_same() {
        let intake = intake("{}");
        let (scan, _) =
            intake.scan("1.2.3".into(), &ImageOrigin::default(), &series(&intake), Timestamp::now()).unwrap();
        assert_eq!((scan.egg_id.as_str(), scan.place.unwrap().line.as_str()), ("T4-017-E9", "1"));
    }

    #[test]
    fn an_image_is_turned_as_its_header_or_its_line_says() {
        let turned = |yaml: &str, axes| {
            let intake = intake(yaml);
            let mut series = series(&intake);
            let samples: Vec<u16> = (0..64 * 64 * 16).map(|i| i as u16).collect();
            series.volume = Volume::from_u16(Header::new([64, 64, 16], [1.0, 1.0, 2.8]), &samples).unwrap();
            series.axes = axes;
            let (scan, _) =
                intake.scan("1.2.3".into(), &ImageOrigin::default(), &series, Timestamp::now()).unwrap();
            let expected = |axes| wire(&series.volume.turned(axes).unwrap());
            (scan.volume.unwrap(), [expected(axes), expected([(0, true), (1, true), (2, false)])])
        };
        let coronal = [(0, false), (2, true), (1, false)];
        let (volume, [by_header, _]) = turned("{}", coronal);
        assert_eq!(volume, by_header);
        assert_eq!((volume.rows, volume.spacing_y_mm, volume.slices), (16, 2.8, 64));
        let (volume, [_, by_line]) = turned("default: {axes: '-x -y z'}", coronal);
        assert_eq!(volume, by_line);
        let mirrored = LineBook::from_yaml("default: {axes: '-x y z'}").unwrap_err().to_string();
        assert!(mirrored.contains("mirrors the egg"), "{mirrored}");
    }

    #[test]
    fn a_line_knows_how_many_images_it_has_and_where_its_clock_stands() {
        let scan = |yaml: &str, stated, images| {
            let intake = intake(yaml);
            let series = Series { stated, images, ..series(&intake) };
            intake.scan("1.2.3".into(), &ImageOrigin::default(), &series, Timestamp::now())
        };
        let acquired = |yaml: &str| scan(yaml, None, 16).unwrap().0.acquired_at.map(|at| at.seconds);
        let [utc, berlin] =
            ["UTC", "Europe/Berlin"].map(|zone| acquired(&format!("default: {{timezone: {zone}}}")));
        assert_eq!(utc.zip(berlin).map(|(utc, berlin)| utc - berlin), Some(3_600));
        let error = scan("{}", Some(2), 16).unwrap_err().to_string();
        assert!(error.contains("1 of the 2 images that ImagesInAcquisition"), "{error}");
        let sixteen = "default: {complete: images 16}";
        scan(sixteen, Some(64), 16).unwrap();
        let error = scan(sixteen, None, 14).unwrap_err().to_string();
        assert!(error.contains("14 of the 16 images that its line has"), "{error}");
    }

    #[test]
    fn an_attribute_that_does_not_exist_is_named() {
        let book = LineBook::from_yaml("default: {read: [{from: PatientId, into: egg_id}]}").unwrap();
        let error = Intake::new(book).unwrap_err().to_string();
        assert!(error.contains("\"PatientId\"") && error.contains("PatientID"), "{error}");
    }
}
