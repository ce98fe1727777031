//! A client of Kubernetes' container runtime interface, as a kubelet is one.
//!
//! Key types: [`Cri`], and [`Pod`], which removes itself.

mod messages;
mod pod;
mod websocket;

pub use messages::*;
pub use pod::Pod;
pub use websocket::WebSocket;

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use crate::{SOON, eventually};

pub struct Cri {
    runtime: Runtime,
    channel: Channel,
}

impl Cri {
    /// Connect to the socket of a containerd.
    ///
    /// # Panics
    /// If nothing answers there.
    #[must_use]
    pub fn connect(socket: &str) -> Cri {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime for the client");
        let socket = PathBuf::from(socket);
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost").timeout(SOON * 3);
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connector))
            .expect("connect to containerd");
        Cri { runtime, channel }
    }

    /// Call a method of the runtime service.
    pub fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Box<Status>>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        self.call_service("runtime.v1.RuntimeService", method, request)
    }

    /// Call a method of any service there.
    ///
    /// # Panics
    /// If the name is none.
    pub fn call_service<Q, A>(
        &self,
        service: &str,
        method: &str,
        request: Q,
    ) -> Result<A, Box<Status>>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path: PathAndQuery = format!("/{service}/{method}").parse().expect("a name");
        let mut client = Grpc::new(self.channel.clone());
        self.runtime.block_on(async move {
            client
                .ready()
                .await
                .map_err(|error| Box::new(Status::unavailable(error.to_string())))?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = client
                .unary(Request::new(request), path, codec)
                .await
                .map_err(Box::new)?;
            Ok(answer.into_inner())
        })
    }

    /// Wait until the CRI plugin knows the images that were imported.
    pub fn await_images(&self) {
        for image in ["localhost/pause:latest", "localhost/busybox:latest"] {
            eventually("the image is known", || {
                let request = ImageStatusRequest {
                    image: Some(ImageSpec {
                        image: image.to_owned(),
                    }),
                };
                let answer: Result<ImageStatusResponse, _> =
                    self.call_service("runtime.v1.ImageService", "ImageStatus", request);
                answer.is_ok_and(|answer| answer.image.is_some())
            });
        }
    }
}
