//! The `pose` net: where the embryo is and how it lies, then what it is, seen in its own frame.
//!
//! Three small stages look at one input of u8 `[N, 16, 48, 48]` (slices are channels). *Locating* sees every third sample
//! of the whole egg and says roughly where the embryo lies and how it is turned. *Refining* sees a lattice that is turned
//! accordingly and corrects both. *Sexing* sees a finer lattice around the gonads, in the embryo's own frame, where left
//! is always left. What the three have seen goes into one head that says everything else.

use crate::frame::{Between, Frame, Lattice, samples_a_mm};
use crate::input::INPUT;
use crate::layers::{Conv, Linear, Residual, as_kind, relu};
use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{Device, Kind, Tensor};

/// Locating sees one sample of this many along y and x: 3 mm. Means instead would cost as much as a stage, and an embryo is
/// large enough to be found in single samples.
const EVERY: i64 = 3;
const COARSE: i64 = INPUT[1] / EVERY;
/// Points and their distance in millimetres: 21 mm a side, the embryo's head and trunk.
const REFINE: ([i64; 3], f64) = ([12, 12, 12], 1.9);
/// 10 x 14 x 14 mm around the gonads, with liver and gizzard.
const SEX: ([i64; 3], f64) = ([10, 14, 14], 1.0);
/// Millimetres that one unit of refining's output stands for.
const STEP_MM: f64 = 2.0;
const DROPOUT: f64 = 0.1;

/// Channels of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Widths {
    /// Three scales of locating, and what it says.
    pub(crate) locate: [i64; 4],
    /// Two scales of refining, and what it says.
    pub(crate) refine: [i64; 3],
    /// Two scales of sexing, and what it says.
    pub(crate) sex: [i64; 3],
    /// The head's hidden layer.
    pub(crate) head: i64,
}

impl Widths {
    /// The one that is served.
    pub(crate) const POSE: Self =
        Self { locate: [32, 32, 64, 96], refine: [32, 48, 64], sex: [48, 80, 128], head: 96 };
    pub(crate) const SMALL: Self =
        Self { locate: [16, 24, 32, 48], refine: [16, 24, 32], sex: [16, 24, 48], head: 32 };
}

/// The net with its weights.
#[derive(Debug)]
pub(crate) struct Net {
    locate: Stage,
    directions: Linear,
    refine: Stage,
    correction: Linear,
    sex: Stage,
    /// How much of either gonad lies where; not served.
    volumes: Linear,
    head: [Linear; 2],
    refine_lattice: Lattice,
    sex_lattice: Lattice,
    // Constants of a trace must be made before it.
    centre_scale: Tensor,
    middle: Tensor,
    samples_a_mm: Tensor,
    /// Numbers that the head sums up.
    seen: i64,
    kind: Kind,
    folded: bool,
}

/// Convolutions at falling resolution, then a matrix over all places: in a frame of its own, every place means something.
#[derive(Debug)]
struct Stage {
    convs: Vec<Conv>,
    residual: Residual,
    last: Option<Conv>,
    matrix: Linear,
}

#[derive(Debug)]
pub(crate) struct Located {
    /// Roughly where the embryo lies.
    pub(crate) frame: Frame,
    /// Towards the head and the belly, before they are made axes: z, y, x each, `[N, 6]`.
    pub(crate) directions: Tensor,
    /// What it has seen, `[N, locate[3]]`, 32-bit.
    pub(crate) features: Tensor,
    /// The samples that it saw, 1 for 100: u8 `[N, 16, 16, 16]` as y, x, z.
    pub(crate) samples: Tensor,
}

#[derive(Debug)]
pub(crate) struct Refined {
    /// Where the embryo lies.
    pub(crate) frame: Frame,
    /// By how much it was moved, in millimetres along the axes before, `[N, 3]`.
    pub(crate) by_mm: Tensor,
    /// How it was turned: a matrix less the identity, `[N, 9]`.
    pub(crate) turn: Tensor,
    /// What it has seen, `[N, refine[2]]`.
    pub(crate) features: Tensor,
}

/// What the head says. All in 32-bit floats.
#[derive(Debug)]
pub(crate) struct Said {
    /// Logits of alive, infertile, dead, `[N, 3]`.
    pub(crate) alive: Tensor,
    /// Logits of female and male, `[N, 2]`.
    pub(crate) sex: Tensor,
    /// Logit of a mirrored embryo, `[N]`.
    pub(crate) mirrored: Tensor,
    /// Signed asymmetry of the gonads, `[N]`; trained, not served.
    pub(crate) asymmetry: Tensor,
    /// Left and right gonad in millimetres along the frame's x, y, z, `[N, 2, 3]`; trained, not served.
    pub(crate) gonads: Tensor,
    /// How much of the left and the right gonad lies in each cell of the lattice, `[N, 7, 7, 2]` as x, y; in training only.
    pub(crate) volumes: Option<Tensor>,
    /// What sexing has seen, `[N, sex[2]]`.
    pub(crate) features: Tensor,
    /// What all stages have seen, summed up, `[N, head]`.
    pub(crate) seen: Tensor,
}

impl Stage {
    fn new(path: &Path<'_>, inputs: i64, widths: &[i64], cells: i64, outputs: i64) -> Self {
        let at = |name: &str| path / name;
        let (first, second) = (widths[0], widths[1]);
        let last = widths.get(2).map(|&width| Conv::new(&at("last"), second, width, 3, 2));
        let flat = cells * widths.last().copied().unwrap_or(second);
        Self {
            convs: vec![
                Conv::new(&at("first"), inputs, first, 3, 1),
                Conv::new(&at("second"), first, second, 3, 2),
            ],
            residual: Residual::new(&at("residual"), second),
            last,
            matrix: Linear::new(&at("matrix"), flat, outputs),
        }
    }

    /// What was seen, and the map that it was seen on, `[N, rows, columns, channels]`.
    fn forward(&self, x: &Tensor, train: bool) -> (Tensor, Tensor) {
        let mut x = x.shallow_clone();
        for conv in &self.convs {
            x = relu(conv.forward(&x, train));
        }
        x = self.residual.forward(&x, train);
        if let Some(last) = &self.last {
            x = relu(last.forward(&x, train));
        }
        // In the order of memory, so that nothing is copied.
        let map = x.permute([0, 2, 3, 1]);
        // In the kind of the convolutions where it is folded for them: it is large, and its sums are made in 32 bits.
        let flat = map.flatten(1, -1);
        (relu(self.matrix.forward(&flat).to_kind(Kind::Float)), map)
    }

    fn fold(&mut self, kind: Kind) {
        self.residual.fold(kind);
        self.matrix.convert(kind);
        let mut scale = SCALE;
        for conv in self.convs.iter_mut().chain(&mut self.last) {
            conv.fold(kind, scale);
            scale = 1.0;
        }
    }
}

impl Net {
    /// Fresh weights under `path`, computing in `kind`.
    pub(crate) fn new(path: &Path<'_>, widths: Widths, kind: Kind) -> Self {
        let at = |name: &str| path / name;
        let cells = |lattice: [i64; 3]| (lattice[1] / 2) * (lattice[2] / 2);
        let seen = widths.locate[3] + widths.refine[2] + widths.sex[2] + 9;
        let coarse_cells = (COARSE / 4) * (COARSE / 4);
        let sex_out = widths.sex[2];
        Self {
            locate: Stage::new(&at("locate"), INPUT[0], &widths.locate[..3], coarse_cells, widths.locate[3]),
            directions: Linear::new(&at("directions"), widths.locate[3], 9),
            refine: Stage::new(
                &at("refine"),
                REFINE.0[0],
                &widths.refine[..2],
                cells(REFINE.0),
                widths.refine[2],
            ),
            correction: Linear::new(&at("correction"), widths.refine[2], 12),
            sex: Stage::new(&at("sex"), SEX.0[0], &widths.sex[..2], cells(SEX.0), sex_out),
            volumes: Linear::new(&at("volumes"), widths.sex[1], 2),
            head: [
                Linear::new(&at("head0"), seen, widths.head),
                Linear::new(&at("head1"), widths.head, HEAD.iter().sum()),
            ],
            refine_lattice: Lattice::new(REFINE.0, REFINE.1, Between::Slices),
            sex_lattice: Lattice::new(SEX.0, SEX.1, Between::All),
            centre_scale: Tensor::from_slice(&CENTRE_SCALE),
            middle: Tensor::from_slice(&middle()),
            samples_a_mm: samples_a_mm(),
            seen,
            kind,
            folded: false,
        }
    }

    /// Looks at the whole egg: `flat` is u8 `[N, 36864]`, as [`flat`] makes it.
    pub(crate) fn locate(&self, flat: &Tensor, train: bool) -> Located {
        let [z, y, x] = INPUT;
        let every = |samples: &Tensor, axis: i64| samples.slice(axis, EVERY / 2, None, EVERY);
        let samples = every(&every(&flat.reshape([-1, z, y, x]), 2), 3).permute([0, 2, 3, 1]);
        let samples = samples.contiguous();
        let coarse = self.scaled(&samples.to_kind(self.kind)).permute([0, 3, 1, 2]);
        let (features, _) = self.locate.forward(&coarse, train);
        let said = self.directions.forward(&features);
        let centre = said.narrow(1, 0, 3);
        let centre = if self.folded { centre } else { centre * &self.centre_scale + &self.middle };
        let directions = said.narrow(1, 3, 6);
        Located { frame: Frame::from_directions(centre, &directions), directions, features, samples }
    }

    /// Looks at the embryo in a rough frame, through which no gradient flows.
    pub(crate) fn refine(&self, flat: &Tensor, rough: &Frame, train: bool) -> Refined {
        let rough = rough.cut(train);
        let seen = self.scaled(&self.refine_lattice.look(flat, &rough));
        let (features, _) = self.refine.forward(&seen, train);
        let said = self.correction.forward(&features);
        let (by_mm, turn) = (said.narrow(1, 0, 3), said.narrow(1, 3, 9));
        let by_mm = if self.folded { by_mm } else { by_mm * STEP_MM };
        Refined { frame: rough.moved(&by_mm, &turn, &self.samples_a_mm), by_mm, turn, features }
    }

    /// Looks at the gonads in the embryo's frame, through which no gradient flows, and sums up.
    pub(crate) fn say(&self, flat: &Tensor, frame: &Frame, before: [&Tensor; 2], train: bool) -> Said {
        let frame = frame.cut(train);
        let seen = self.scaled(&self.sex_lattice.look(flat, &frame));
        let (features, map) = self.sex.forward(&seen, train);
        let lie = frame.axes.flatten(1, -1);
        // See [`Linear::pad`]: the head reads what it is padded with, and makes nothing of it.
        let padding = lie.narrow(1, 0, self.head[0].inputs() - self.seen);
        let all = Tensor::cat(&[before[0], before[1], &features, &lie, &padding], 1);
        let seen = relu(self.head[0].forward(&all));
        let said =
            self.head[1].forward(&if train { seen.dropout(DROPOUT, true) } else { seen.shallow_clone() });
        let mut first = 0;
        let [alive, sex, mirrored, asymmetry, gonads] = HEAD.map(|columns| {
            first += columns;
            said.narrow(1, first - columns, columns)
        });
        let gonads = gonads.reshape([-1, 2, 3]);
        let volumes = train.then(|| self.volumes.forward(&map.to_kind(Kind::Float)));
        Said {
            alive,
            sex,
            mirrored: mirrored.squeeze_dim(1),
            asymmetry: asymmetry.squeeze_dim(1),
            gonads,
            volumes,
            features,
            seen,
        }
    }

    /// Whether a weight of this name belongs to sexing or the head.
    pub(crate) fn is_sexing(name: &str) -> bool {
        ["sex", "volumes", "head"].iter().any(|part| name.starts_with(part))
    }

    /// Folds normalisations away and converts the convolutions to `kind`, for serving.
    pub(crate) fn fold(&mut self, kind: Kind) {
        for stage in [&mut self.locate, &mut self.refine, &mut self.sex] {
            stage.fold(kind);
        }
        self.directions.fold(&self.centre_scale, &self.middle);
        let step = Tensor::full([3], STEP_MM, (Kind::Float, Device::Cpu));
        self.correction.fold(&step, &step.zeros_like());
        self.head[0].pad();
        self.kind = kind;
        self.folded = true;
    }

    /// Takes samples so that 100 becomes 0 and the rest about 1; folded weights do the second part.
    fn scaled(&self, samples: &Tensor) -> Tensor {
        // In this order bfloat16 loses nothing in the first step, and little in the second.
        let samples = samples - SCALE.recip();
        as_kind(&if self.folded { samples } else { samples * SCALE }, self.kind)
    }
}

/// Columns of the head's output: alive / infertile / dead, female / male, mirrored, asymmetry, gonads.
const HEAD: [i64; 5] = [3, 2, 1, 1, 6];
/// Distance along the embryo's x or y of the cells of [`Said::volumes`] from the frame's origin, in millimetres: every
/// second point of the lattice.
pub(crate) fn volume_cells() -> Tensor {
    let (size, step) = (SEX.0[1], SEX.1);
    Tensor::arange_start_step(0, size, 2, (Kind::Float, Device::Cpu)) * step - (size - 1) as f64 / 2.0 * step
}

/// One unit of locating's output in samples along z, y, x.
pub(crate) const CENTRE_SCALE: [f32; 3] = [2.0, 6.0, 6.0];
/// A sample of 100 is the mean of the bright part of the prepared volume, so it becomes 1.
const SCALE: f64 = 0.01;

/// Inputs u8 `[N, 16, 48, 48]` as all stages take them.
pub(crate) fn flat(input: &Tensor) -> Tensor {
    input.flatten(1, -1)
}

/// The middle of the input: z, y, x.
fn middle() -> [f32; 3] {
    INPUT.map(|samples| (samples - 1) as f32 / 2.0)
}
