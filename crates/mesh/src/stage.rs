//! What a stage is: a name, a method, and two message types that carry an [`Envelope`] beside their body.

use crate::proto::Envelope;

/// A message on a stage's stream: an [`Envelope`] and, with a call or an answer, the stage's own body.
pub trait Frame: prost::Message + Default + Send + 'static {
    /// The stage's own part.
    type Body: prost::Message + Clone + Send + Sync + 'static;
    /// Puts the two together.
    fn pack(envelope: Envelope, body: Option<Self::Body>) -> Self;
    /// Takes the two apart.
    fn unpack(self) -> (Option<Envelope>, Option<Self::Body>);
}

/// One stage of a mesh. Implemented with [`stage!`](crate::stage).
pub trait Stage: Send + Sync + 'static {
    /// Short name for logs and metrics, such as `preprocess`.
    const NAME: &'static str;
    /// gRPC path of the bidirectional method, such as `/ovomesh.preprocess.v1.PreprocessService/Prepare`.
    const PATH: &'static str;
    /// Body of a call. Cloning must be cheap (`Bytes`, not `Vec`): the pool keeps a copy until the answer is there.
    type Request: prost::Message + Clone + Send + Sync + 'static;
    /// Body of an answer.
    type Response: prost::Message + Clone + Send + Sync + 'static;
    /// The message that carries a call.
    type RequestFrame: Frame<Body = Self::Request>;
    /// The message that carries an answer, a failure or a control.
    type ResponseFrame: Frame<Body = Self::Response>;
}

/// Names the two message types of a stage, each with the field that holds its body:
/// ```ignore
/// stage!(
///     /// Raw volume to prepared volume.
///     pub Prepare, "preprocess", "/ovomesh.preprocess.v1.PreprocessService/Prepare",
///     PrepareRequest { volume: Volume } => PrepareResponse { prepared: Prepared }
/// );
/// ```
#[macro_export]
macro_rules! stage {
    ($(#[$doc:meta])* $vis:vis $stage:ident, $name:literal, $path:literal,
     $request:ty { $request_field:ident : $request_body:ty } => $response:ty { $response_field:ident : $response_body:ty }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        $vis struct $stage;
        impl $crate::Stage for $stage {
            const NAME: &'static str = $name;
            const PATH: &'static str = $path;
            type Request = $request_body;
            type Response = $response_body;
            type RequestFrame = $request;
            type ResponseFrame = $response;
        }
        $crate::stage!(@frame $request, $request_field, $request_body);
        $crate::stage!(@frame $response, $response_field, $response_body);
    };
    (@frame $frame:ty, $field:ident, $body:ty) => {
        impl $crate::Frame for $frame {
            type Body = $body;
            fn pack(envelope: $crate::proto::Envelope, body: Option<$body>) -> Self {
                Self { envelope: Some(envelope), $field: body }
            }
            fn unpack(self) -> (Option<$crate::proto::Envelope>, Option<$body>) {
                (self.envelope, self.$field)
            }
        }
    };
}
