//! What is true of an egg, as a row of a table or as JSON.

use serde::Serialize;

use super::egg::Egg;

/// One egg. Fields hold no comma, quote or line break, so a row of the table is their values joined by commas.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The file, or the folder of its slices, from the folder that was asked for.
    file: String,
    scan_id: String,
    egg_id: String,
    class: &'static str,
    /// EARLY or MID-TERM of a dead embryo.
    death: Option<&'static str>,
    /// The left gonad has the share (1 + a) / 2 of the volume of both.
    asymmetry: Option<f64>,
    /// Amplitude, 0 of what kept still.
    motion_mm: f64,
    egg_ml: f64,
    /// Centres of the left and the right gonad: x, y, z.
    left_mm: Option<[f64; 3]>,
    right_mm: Option<[f64; 3]>,
}

impl Row {
    /// The head of the table.
    pub(super) const HEAD: &str = "file,scan_id,egg_id,class,death,asymmetry,motion_mm,egg_ml,\
        left_x_mm,left_y_mm,left_z_mm,right_x_mm,right_y_mm,right_z_mm";

    pub(super) fn new(egg: &Egg, file: String) -> Self {
        let truth = &egg.truth;
        Self {
            file,
            scan_id: egg.label.series_uid.clone(),
            egg_id: egg.label.egg_id.clone(),
            class: truth.class.name(),
            death: truth.death.map(ovomesh_phantom::Death::name),
            asymmetry: truth.gonads_mm.map(|_| rounded(truth.asymmetry)),
            motion_mm: rounded(truth.motion_mm),
            egg_ml: rounded(truth.egg_ml),
            left_mm: truth.gonads_mm.map(|[left, _]| left.map(rounded)),
            right_mm: truth.gonads_mm.map(|[_, right]| right.map(rounded)),
        }
    }

    /// A row of the table; what is not known is empty.
    pub(super) fn csv(&self) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        let mut fields = vec![
            self.file.clone(),
            self.scan_id.clone(),
            self.egg_id.clone(),
            self.class.to_owned(),
            self.death.unwrap_or_default().to_owned(),
            number(self.asymmetry),
            self.motion_mm.to_string(),
            self.egg_ml.to_string(),
        ];
        for place in [self.left_mm, self.right_mm] {
            fields.extend((0..3).map(|axis| number(place.map(|at| at[axis]))));
        }
        fields.join(",")
    }
}

/// Four digits after the point: a tenth of a micrometre.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
