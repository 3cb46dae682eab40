//! The `flat` net: where the gonads are, whether there is an embryo, and of which sex it is.
//!
//! Two stages look at one input of u8 `[N, 16, 48, 48]` (slices are channels). *Locating* sees the whole egg, pooled by 3 in
//! plane, and gives a heat map over the gonads' midpoint and logits of alive, infertile, dead. *Sexing* sees a small
//! window of full resolution around that point: two attention maps, one for each gonad, and logits of female and male.

use crate::layers::{Conv, ConvBn, Linear, Residual, channels_last, relu};
use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{Kind, Tensor};

/// Samples of the input along z, y and x.
pub(crate) const INPUT: [i64; 3] = [16, 48, 48];
/// Samples of the window along z, and along y and x alike.
pub(crate) const WINDOW: [i64; 2] = [8, 16];
/// Cells of the attention maps along y and x: every second sample of the window.
pub(crate) const ATTENTION: i64 = WINDOW[1] / 2;
/// In-plane pooling before locating, and what remains along y and x.
const POOL: i64 = 3;
const COARSE: i64 = INPUT[1] / POOL;
/// The middle of the inner layers.
const HIDDEN: [i64; 2] = [32, 64];
const DROPOUT: f64 = 0.1;

/// Channels of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Widths {
    /// Locating, first and second scale.
    pub(crate) locate: [i64; 2],
    /// Sexing, first and second scale.
    pub(crate) sex: [i64; 2],
    /// Residual blocks at the second scale of sexing.
    pub(crate) residuals: usize,
}

/// The net with its weights.
#[derive(Debug)]
pub(crate) struct Net {
    coarse: ConvBn,
    coarser: ConvBn,
    coarser_residual: Residual,
    lateral: ConvBn,
    heat: Conv,
    alive: [Linear; 2],
    fine: ConvBn,
    finer: ConvBn,
    finer_residuals: Vec<Residual>,
    attention: Conv,
    sex: [Linear; 2],
    /// z, y, x of each cell of the heat map in samples of the input, `[4096, 3]`.
    cells: Tensor,
    /// Half a window, and the last place where one can start, `[3]`.
    half: Tensor,
    last_start: Tensor,
    /// What one sample along z, y, x is in flat samples, `[3, 1]`.
    strides: Tensor,
    /// The window's samples in flat samples from its first, `[1, 2048]`, in the order y, x, z: channels last.
    offsets: Tensor,
    kind: Kind,
}

/// What locating says. All in 32-bit floats.
#[derive(Debug)]
pub(crate) struct Located {
    /// Logits over the cells, `[N, 4096]`.
    pub(crate) heat: Tensor,
    /// The gonads' midpoint: z, y, x in samples of the input, `[N, 3]`.
    pub(crate) centre: Tensor,
    /// Logits of alive, infertile, dead, `[N, 3]`.
    pub(crate) alive: Tensor,
    /// What the logits are made from, `[N, 2 * locate[1]]`.
    pub(crate) features: Tensor,
    /// The pooled input itself, `[N, 16, 16, 16]`, 0 for a sample of 100.
    pub(crate) pooled: Tensor,
}

/// What sexing says. All in 32-bit floats.
#[derive(Debug)]
pub(crate) struct Sexed {
    /// Logits of female and male, `[N, 2]`.
    pub(crate) sex: Tensor,
    /// Signed asymmetry of the gonads, `[N]`; trained, not served.
    pub(crate) asymmetry: Tensor,
    /// Logits over the cells of the left and the right gonad's map, `[N, 2, 64]`.
    pub(crate) attention: Tensor,
    /// What the logits are made from, `[N, 4 * sex[1]]`.
    pub(crate) features: Tensor,
}

impl Widths {
    /// 134 thousand weights, 18 MFLOP. A second residual block was tried and gained nothing (99.02 against 99.05 %).
    pub(crate) const FLAT: Self = Self { locate: [24, 48], sex: [32, 48], residuals: 1 };
    /// 66 thousand weights, 9 MFLOP.
    pub(crate) const SMALL: Self = Self { locate: [16, 32], sex: [24, 32], residuals: 1 };
}

impl Net {
    /// Fresh weights under `path`, computing in `kind`.
    pub(crate) fn new(path: &Path<'_>, widths: Widths, kind: Kind) -> Self {
        let [l1, l2] = widths.locate;
        let [s1, s2] = widths.sex;
        let at = |name: &str| path / name;
        Self {
            coarse: ConvBn::new(&at("coarse"), INPUT[0], l1, 3, 1),
            coarser: ConvBn::new(&at("coarser"), l1, l2, 3, 2),
            coarser_residual: Residual::new(&at("coarser_residual"), l2),
            lateral: ConvBn::new(&at("lateral"), l2, l1, 1, 1),
            heat: Conv::new(&at("heat"), l1, INPUT[0], 3),
            alive: [Linear::new(&at("alive0"), 2 * l2, HIDDEN[0]), Linear::new(&at("alive1"), HIDDEN[0], 3)],
            fine: ConvBn::new(&at("fine"), WINDOW[0], s1, 3, 1),
            finer: ConvBn::new(&at("finer"), s1, s2, 3, 2),
            finer_residuals: (0..widths.residuals)
                .map(|i| Residual::new(&at(&format!("finer_residual{i}")), s2))
                .collect(),
            attention: Conv::new(&at("attention"), s2, 2, 1),
            sex: [Linear::new(&at("sex0"), 4 * s2, HIDDEN[1]), Linear::new(&at("sex1"), HIDDEN[1], 3)],
            cells: cells(),
            half: triple([WINDOW[0], WINDOW[1], WINDOW[1]].map(|samples| (samples / 2) as f32)),
            last_start: triple(
                [INPUT[0] - WINDOW[0], INPUT[1] - WINDOW[1], INPUT[2] - WINDOW[1]].map(|at| at as f32),
            ),
            strides: triple([INPUT[1] * INPUT[2], INPUT[2], 1].map(|stride| stride as f32)).reshape([3, 1]),
            offsets: window_offsets(),
            kind,
        }
    }

    /// Looks at the whole egg: `input` is u8 `[N, 16, 48, 48]`.
    pub(crate) fn locate(&self, input: &Tensor, train: bool) -> Located {
        let pooled = pool(input);
        let coarse = relu(self.coarse.forward(&channels_last(&pooled.to_kind(self.kind)), train));
        let coarser = relu(self.coarser.forward(&coarse, train));
        let coarser = self.coarser_residual.forward(&coarser, train);
        let lateral =
            relu(self.lateral.forward(&coarser, train)).upsample_nearest2d([COARSE, COARSE], 2.0, 2.0);
        let heat = self.heat.forward(&(coarse + lateral)).flatten(1, -1).to_kind(Kind::Float);
        let features =
            Tensor::cat(&[mean_in_plane(&coarser), max_in_plane(&coarser)], 1).to_kind(Kind::Float);
        let alive = self.alive[1].forward(&self.alive[0].forward(&features).relu());
        let centre = heat.softmax(1, Kind::Float).matmul(&self.cells);
        Located { heat, centre, alive, features, pooled }
    }

    /// Looks at the window around `centre`, `[N, 3]`, from which no gradient flows.
    pub(crate) fn sex(&self, input: &Tensor, centre: &Tensor, train: bool) -> Sexed {
        let window = self.window(input, centre).to_kind(self.kind) * SCALE - 1.0;
        let fine = relu(self.fine.forward(&window, train));
        let mut finer = relu(self.finer.forward(&fine, train));
        for residual in &self.finer_residuals {
            finer = residual.forward(&finer, train);
        }
        let attention = self.attention.forward(&finer).flatten(2, -1).to_kind(Kind::Float);
        let places = attention.softmax(2, Kind::Float).to_kind(self.kind);
        let seen = finer.flatten(2, -1).matmul(&places.transpose(1, 2)).flatten(1, -1);
        let features =
            Tensor::cat(&[seen, max_in_plane(&finer), mean_in_plane(&finer)], 1).to_kind(Kind::Float);
        let logits = self.sex[1].forward(&self.sex[0].forward(&features).relu().dropout(DROPOUT, train));
        Sexed { sex: logits.narrow(1, 0, 2), asymmetry: logits.select(1, 2), attention, features }
    }

    /// z, y, x of the cells of the heat map in samples of the input, `[4096, 3]`.
    pub(crate) fn cells(&self) -> &Tensor {
        &self.cells
    }

    /// Folds normalisations away and converts the convolutions to `kind`, for serving.
    pub(crate) fn fold(&mut self, kind: Kind) {
        for conv in [&mut self.coarse, &mut self.coarser, &mut self.lateral, &mut self.fine, &mut self.finer]
        {
            conv.fold(kind);
        }
        for residual in std::iter::once(&mut self.coarser_residual).chain(&mut self.finer_residuals) {
            residual.fold(kind);
        }
        for conv in [&mut self.heat, &mut self.attention] {
            conv.convert(kind);
        }
        self.kind = kind;
    }

    /// Samples around the centre, moved inwards at the edges: u8 `[N, 8, 16, 16]`, channels last.
    fn window(&self, input: &Tensor, centre: &Tensor) -> Tensor {
        let [depth, side] = WINDOW;
        let first = self.window_start(centre).matmul(&self.strides).to_kind(Kind::Int64);
        let window = input.flatten(1, -1).gather(1, &(first + &self.offsets), false);
        window.reshape([-1, side, side, depth]).permute([0, 3, 1, 2])
    }

    /// The window's first sample for each centre, z, y, x: whole numbers, as floats.
    pub(crate) fn window_start(&self, centre: &Tensor) -> Tensor {
        (centre.detach() - &self.half).round().clamp_min(0.0).minimum(&self.last_start)
    }
}

/// A sample of 100 is the mean of the bright part of the prepared volume, so it becomes 1.
const SCALE: f64 = 0.01;

/// Means of 3 x 3 samples in plane, scaled, minus 1. Sums of slices: avg_pool2d takes three times as long.
fn pool(input: &Tensor) -> Tensor {
    let thirds = |x: &Tensor, axis: i64| {
        let third = |first: i64| x.slice(axis, first, INPUT[1], POOL);
        third(0) + third(1) + third(2)
    };
    thirds(&thirds(&input.to_kind(Kind::Float), 2), 3) * (SCALE / (POOL * POOL) as f64) - 1.0
}

fn mean_in_plane(x: &Tensor) -> Tensor {
    x.mean_dim([2_i64, 3].as_slice(), false, None::<Kind>)
}

fn max_in_plane(x: &Tensor) -> Tensor {
    x.amax([2_i64, 3], false)
}

/// The middle of each cell of the heat map, in samples of the input.
fn cells() -> Tensor {
    let mut cells = Vec::new();
    for z in 0..INPUT[0] {
        for y in 0..COARSE {
            for x in 0..COARSE {
                cells.extend([z, y * POOL + POOL / 2, x * POOL + POOL / 2].map(|at| at as f32));
            }
        }
    }
    Tensor::from_slice(&cells).reshape([-1, 3])
}

fn window_offsets() -> Tensor {
    let mut offsets = Vec::new();
    for y in 0..WINDOW[1] {
        for x in 0..WINDOW[1] {
            offsets.extend((0..WINDOW[0]).map(|z| (z * INPUT[1] + y) * INPUT[2] + x));
        }
    }
    Tensor::from_slice(&offsets).reshape([1, -1])
}

fn triple(numbers: [f32; 3]) -> Tensor {
    Tensor::from_slice(&numbers)
}
