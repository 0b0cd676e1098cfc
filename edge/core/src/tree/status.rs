//! TRACK_STATUS: answered for a track that is established, else passed on (draft-22 §9.13).

use crate::Command;
use crate::id::{InRequest, OutRequestId, SessionId};
use crate::relay::Relay;
use crate::session::{Asked, Incoming};
use meridian_wire::control::{RequestOk, Subscribe};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Message, Parameters, RequestErrorCode, ResetCode};
use smallvec::SmallVec;

/// A TRACK_STATUS that was passed on.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    asker: InRequest,
    name: FullTrackName,
    tried: SmallVec<[SessionId; 2]>,
    with_properties: bool,
}

impl Relay {
    pub(crate) fn track_status(&mut self, session: SessionId, ask: Subscribe) {
        let asker = InRequest {
            session,
            id: ask.request_id,
        };
        let peer = &self.sessions[session];
        if !peer.permissions.may_subscribe(&ask.track.namespace) {
            let code = RequestErrorCode::UNAUTHORIZED;
            return self.refuse(asker, code, "not yours to ask for");
        }
        if peer.requests.len() >= self.config.requests_per_session {
            let code = RequestErrorCode::EXCESSIVE_LOAD;
            return self.refuse(asker, code, "too many requests");
        }
        let with_properties = ask.params.include_properties.unwrap_or(true);
        let known = self.track_by_name.get(&ask.track).copied();
        if let Some(track) = known.filter(|track| self.can_serve(*track, session, true)) {
            let entry = &self.tracks[track];
            let ok = RequestOk {
                params: Parameters {
                    largest_object: entry.largest,
                    ..Parameters::default()
                },
                properties: entry.properties.clone(),
            };
            return self.tell_status(asker, ok, with_properties);
        }
        let inquiry = Inquiry {
            asker,
            name: ask.track,
            tried: SmallVec::new(),
            with_properties,
        };
        self.inquire(inquiry, RequestErrorCode::DOES_NOT_EXIST);
    }

    /// Asks the next publisher; if there is none, the asker is told `code`.
    pub(crate) fn inquire(&mut self, mut inquiry: Inquiry, code: RequestErrorCode) {
        let asker = inquiry.asker;
        if !self.sessions.contains_key(asker.session) {
            return;
        }
        let sources = self.publishers_in_reach(&[], &inquiry.name.namespace, asker.session);
        let next = sources
            .into_iter()
            .find(|session| !inquiry.tried.contains(session));
        let Some(session) = next else {
            self.sessions[asker.session].requests.remove(&asker.id);
            return self.refuse(asker, code, "no publisher has this track");
        };
        inquiry.tried.push(session);
        let request = self.out_requests.insert(());
        let incoming = Incoming::Status(session, request);
        self.sessions[asker.session]
            .requests
            .insert(asker.id, incoming);
        let message = Message::TrackStatus(Subscribe {
            request_id: 0,
            track: inquiry.name.clone(),
            params: Parameters::default(),
        });
        let asked = Asked::Status(Box::new(inquiry));
        self.sessions[session].outgoing.insert(request, asked);
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
    }

    /// A publisher has answered.
    pub(crate) fn inquiry_answered(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        inquiry: Inquiry,
        answer: Result<RequestOk, RequestErrorCode>,
    ) {
        self.forget_inquiry(session, request);
        self.commands
            .push_back(Command::FinishRequest { session, request });
        match answer {
            Ok(ok) => {
                if let Some(peer) = self.sessions.get_mut(inquiry.asker.session) {
                    peer.requests.remove(&inquiry.asker.id);
                    self.tell_status(inquiry.asker, ok, inquiry.with_properties);
                }
            }
            Err(code) => self.inquire(inquiry, code),
        }
    }

    /// Who asked is no longer interested.
    pub(crate) fn inquiry_cancelled(&mut self, session: SessionId, request: OutRequestId) {
        self.forget_inquiry(session, request);
        let code = ResetCode::CANCELLED;
        self.commands.push_back(Command::Cancel {
            session,
            request,
            code,
        });
    }

    fn forget_inquiry(&mut self, session: SessionId, request: OutRequestId) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.outgoing.remove(&request);
        }
        self.out_requests.remove(request);
    }

    /// TRACK_STATUS_OK, with nothing after it.
    fn tell_status(&mut self, asker: InRequest, mut ok: RequestOk, with_properties: bool) {
        if ok.properties.block().unsupported_mandatory().is_some() {
            let code = RequestErrorCode::UNSUPPORTED_EXTENSION;
            return self.refuse(asker, code, "the track needs what is not known here");
        }
        if !with_properties {
            ok.properties = Properties::default();
        }
        self.commands.push_back(Command::Respond {
            session: asker.session,
            request: asker.id,
            message: Message::RequestOk(ok),
            finish: true,
        });
    }
}
