//! The layers that the net is made of. They compute in the kind of their input, so that training can run in bfloat16
//! with weights kept in 32-bit floats, and they fold their normalisation away for serving.

use tch::nn::{Init, Path};
use tch::{Kind, Tensor};

/// Momentum of the running statistics of a normalisation, and what keeps its variance from zero (libtorch's defaults).
const NORM_MOMENTUM: f64 = 0.1;
const NORM_EPSILON: f64 = 1e-5;

/// A convolution with batch normalisation instead of a bias.
#[derive(Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    stride: i64,
    norm: Norm,
}

#[derive(Debug)]
enum Norm {
    Batch {
        gain: Tensor,
        offset: Tensor,
        mean: Tensor,
        variance: Tensor,
    },
    /// Already part of the weight, but for this bias.
    Folded(Tensor),
}

impl Conv {
    /// Kernels are `size` x `size`; edges are padded with zeros so that stride 1 keeps the size.
    pub(crate) fn new(path: &Path<'_>, inputs: i64, outputs: i64, size: i64, stride: i64) -> Self {
        let norm = Norm::Batch {
            gain: path.ones("gain", &[outputs]),
            offset: path.zeros("offset", &[outputs]),
            mean: path.zeros_no_train("mean", &[outputs]),
            variance: path.ones_no_train("variance", &[outputs]),
        };
        let fan_in = inputs * size * size;
        Self { weight: path.var("weight", &[outputs, inputs, size, size], uniform(fan_in)), stride, norm }
    }

    /// `[N, inputs, H, W]` to `[N, outputs, H / stride, W / stride]`. In training the batch's own statistics normalise.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let weight = as_kind(&self.weight, x.kind());
        let padding = self.weight.size()[2] / 2;
        let conv = |bias: Option<&Tensor>| x.conv2d(&weight, bias, self.stride, padding, 1, 1);
        match &self.norm {
            Norm::Folded(bias) => conv(Some(&as_kind(bias, x.kind()))),
            Norm::Batch { gain, offset, mean, variance } => conv(None).batch_norm(
                Some(gain),
                Some(offset),
                Some(mean),
                Some(variance),
                train,
                NORM_MOMENTUM,
                NORM_EPSILON,
                false,
            ),
        }
    }

    /// Multiplies the normalisation, and what the input is to be multiplied by, into the weight, and converts to `kind`.
    /// Not for training any more.
    pub(crate) fn fold(&mut self, kind: Kind, input: f64) {
        if let Norm::Batch { gain, offset, mean, variance } = &self.norm {
            let scale = gain / (variance + NORM_EPSILON).sqrt();
            let bias = offset - mean * &scale;
            self.weight =
                channels_last(&(&self.weight * (scale * input).reshape([-1, 1, 1, 1])).to_kind(kind));
            self.norm = Norm::Folded(bias.to_kind(kind));
        }
    }
}

/// `relu(x + b(relu(a(x))))`.
#[derive(Debug)]
pub(crate) struct Residual {
    a: Conv,
    b: Conv,
}

impl Residual {
    /// Keeps the number of channels.
    pub(crate) fn new(path: &Path<'_>, channels: i64) -> Self {
        let conv = |name| Conv::new(&(path / name), channels, channels, 3, 1);
        Self { a: conv("a"), b: conv("b") }
    }

    /// Keeps the shape.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        relu(self.b.forward(&relu(self.a.forward(x, train)), train) + x)
    }

    /// See [`Conv::fold`].
    pub(crate) fn fold(&mut self, kind: Kind) {
        self.a.fold(kind, 1.0);
        self.b.fold(kind, 1.0);
    }
}

/// A matrix and a bias, in 32-bit floats unless converted: most are small, and what they compute is read as numbers.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Multiplies the first outputs by `scale` and adds `offset`, for serving.
    pub(crate) fn fold(&mut self, scale: &Tensor, offset: &Tensor) {
        let rows = scale.numel() as i64;
        self.weight = self.weight.copy();
        self.bias = self.bias.copy();
        let _ = self.weight.narrow(0, 0, rows).g_mul_(&scale.unsqueeze(1));
        let _ = self.bias.narrow(0, 0, rows).g_mul_(scale).g_add_(offset);
    }

    /// Converts to `kind`, for serving.
    pub(crate) fn convert(&mut self, kind: Kind) {
        self.weight = self.weight.to_kind(kind);
        self.bias = self.bias.to_kind(kind);
    }

    /// How many numbers it reads.
    pub(crate) fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }

    /// Reads as many numbers more, and makes nothing of them, as bring their count to a multiple of 8: for other counts
    /// the result of a row depends, in its last bit, on the row's place in a batch.
    pub(crate) fn pad(&mut self) {
        let inputs = self.inputs();
        let more = (8 - inputs % 8) % 8;
        let none = Tensor::zeros([self.weight.size()[0], more], (self.weight.kind(), self.weight.device()));
        self.weight = Tensor::cat(&[&self.weight, &none], 1);
    }

    /// From `inputs` to `outputs` numbers.
    pub(crate) fn new(path: &Path<'_>, inputs: i64, outputs: i64) -> Self {
        let init = uniform(inputs);
        Self {
            weight: path.var("weight", &[outputs, inputs], init),
            bias: path.var("bias", &[outputs], init),
        }
    }

    /// `[N, inputs]` to `[N, outputs]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let kind = self.weight.kind();
        as_kind(x, kind).linear(&self.weight, Some(&self.bias))
    }
}

/// libtorch's default: uniform in +- 1 / sqrt(fan in).
fn uniform(fan_in: i64) -> Init {
    let limit = (fan_in as f64).sqrt().recip();
    Init::Uniform { lo: -limit, up: limit }
}

/// Converts only where needed, so that a traced graph has no empty steps.
pub(crate) fn as_kind(tensor: &Tensor, kind: Kind) -> Tensor {
    if tensor.kind() == kind { tensor.shallow_clone() } else { tensor.to_kind(kind) }
}

/// The same `[N, C, H, W]` with channels closest together in memory: what oneDNN's kernels for small images like, and
/// the only layout for which they need not reorder the weights of every call.
pub(crate) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// In place: a copy less.
pub(crate) fn relu(mut x: Tensor) -> Tensor {
    x.relu_()
}
