//! The source's door: lets everybody in at once and sends them to the source itself, as a control plane would to an edge.

use super::replay::Opening;
use anyhow::{Context as _, Result};
use meridian_proto::v1::join_service_server::{JoinService, JoinServiceServer};
use meridian_proto::v1::*;
use meridian_session::tls::Fingerprint;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// Opens it at the source's own address, by TCP. What is returned last keeps it open.
pub(super) async fn open(
    source: SocketAddr,
    certificate: Fingerprint,
) -> Result<(Opening, impl Future<Output = Result<()>>)> {
    let own = rcgen::generate_simple_self_signed([source.ip().to_string()])?;
    let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem());
    let listener = TcpListener::bind(source).await;
    let listener = listener.with_context(|| format!("{source} by TCP"))?;
    let door = Door {
        admission: admission(source, certificate),
    };
    let mut server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity))?;
    let serving = server
        .add_service(JoinServiceServer::new(door))
        .serve_with_incoming(TcpIncoming::from(listener));
    let opening = Opening {
        door: format!("https://{source}"),
        certificate: own.cert.pem(),
    };
    Ok((opening, async { serving.await.context("the door closed") }))
}

struct Door {
    admission: Admission,
}

fn admission(source: SocketAddr, certificate: Fingerprint) -> Admission {
    Admission {
        token: "let in".to_owned(),
        renew_after_ms: u32::MAX,
        candidates: vec![Candidate {
            office: "source".to_owned(),
            address: source.to_string(),
            certificate_sha256: certificate.0.to_vec().into(),
            ..Candidate::default()
        }],
        ..Admission::default()
    }
}

#[tonic::async_trait]
impl JoinService for Door {
    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let admitted = join_response::Outcome::Admitted(self.admission.clone());
        Ok(Response::new(JoinResponse {
            outcome: Some(admitted),
        }))
    }

    type WaitAndJoinStream = BoxStream<JoinResponse>;

    async fn wait_and_join(
        &self,
        _: Request<JoinRequest>,
    ) -> Result<Response<Self::WaitAndJoinStream>, Status> {
        Err(Status::unimplemented("nobody has to wait"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Ok(Response::new(RenewResponse {
            admitted: Some(self.admission.clone()),
        }))
    }

    async fn arrive(&self, _: Request<ArriveRequest>) -> Result<Response<ArriveResponse>, Status> {
        Ok(Response::new(ArriveResponse {}))
    }

    async fn list_offices(
        &self,
        _: Request<ListOfficesRequest>,
    ) -> Result<Response<ListOfficesResponse>, Status> {
        Ok(Response::new(ListOfficesResponse::default()))
    }
}
