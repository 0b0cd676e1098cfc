//! Types of control messages (draft-22 §9).

use crate::Draft;

/// What a control message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// 0x2F00
    Setup,
    /// 0x10
    Goaway,
    /// 0x03
    Subscribe,
    /// 0x04
    SubscribeOk,
    /// 0x02
    RequestUpdate,
    /// 0x07
    RequestOk,
    /// 0x05
    RequestError,
    /// 0x1D
    Publish,
    /// 0x0B
    PublishDone,
    /// 0x22 (20 and 22)
    PublishStateNotify,
    /// 0x16
    Fetch,
    /// 0x18
    FetchOk,
    /// 0x0D
    TrackStatus,
    /// 0x06
    PublishNamespace,
    /// 0x50
    SubscribeNamespace,
    /// 0x51
    SubscribeTracks,
    /// 0x08
    Namespace,
    /// 0x0E
    NamespaceDone,
    /// 0x0F (PUBLISH_BLOCKED in 18)
    PublishSkipped,
}

impl MessageKind {
    /// Every kind.
    pub const ALL: [MessageKind; 19] = [
        MessageKind::Setup,
        MessageKind::Goaway,
        MessageKind::Subscribe,
        MessageKind::SubscribeOk,
        MessageKind::RequestUpdate,
        MessageKind::RequestOk,
        MessageKind::RequestError,
        MessageKind::Publish,
        MessageKind::PublishDone,
        MessageKind::PublishStateNotify,
        MessageKind::Fetch,
        MessageKind::FetchOk,
        MessageKind::TrackStatus,
        MessageKind::PublishNamespace,
        MessageKind::SubscribeNamespace,
        MessageKind::SubscribeTracks,
        MessageKind::Namespace,
        MessageKind::NamespaceDone,
        MessageKind::PublishSkipped,
    ];

    /// The type on the wire, the same in all drafts.
    pub const fn id(self) -> u64 {
        match self {
            MessageKind::Setup => 0x2F00,
            MessageKind::Goaway => 0x10,
            MessageKind::Subscribe => 0x03,
            MessageKind::SubscribeOk => 0x04,
            MessageKind::RequestUpdate => 0x02,
            MessageKind::RequestOk => 0x07,
            MessageKind::RequestError => 0x05,
            MessageKind::Publish => 0x1D,
            MessageKind::PublishDone => 0x0B,
            MessageKind::PublishStateNotify => 0x22,
            MessageKind::Fetch => 0x16,
            MessageKind::FetchOk => 0x18,
            MessageKind::TrackStatus => 0x0D,
            MessageKind::PublishNamespace => 0x06,
            MessageKind::SubscribeNamespace => 0x50,
            MessageKind::SubscribeTracks => 0x51,
            MessageKind::Namespace => 0x08,
            MessageKind::NamespaceDone => 0x0E,
            MessageKind::PublishSkipped => 0x0F,
        }
    }

    /// The kind that `id` stands for in `draft`.
    pub fn from_id(id: u64, draft: Draft) -> Option<MessageKind> {
        let mut kinds = MessageKind::ALL.into_iter();
        kinds.find(|kind| kind.id() == id && kind.is_in(draft))
    }

    /// Whether `draft` has it.
    pub fn is_in(self, draft: Draft) -> bool {
        self != MessageKind::PublishStateNotify || draft >= Draft::D20
    }

    /// Whether it may open a request stream.
    pub const fn opens_request(self) -> bool {
        matches!(
            self,
            MessageKind::Subscribe
                | MessageKind::Publish
                | MessageKind::Fetch
                | MessageKind::TrackStatus
                | MessageKind::PublishNamespace
                | MessageKind::SubscribeNamespace
                | MessageKind::SubscribeTracks
        )
    }

    /// Its name in draft 22.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Setup => "SETUP",
            MessageKind::Goaway => "GOAWAY",
            MessageKind::Subscribe => "SUBSCRIBE",
            MessageKind::SubscribeOk => "SUBSCRIBE_OK",
            MessageKind::RequestUpdate => "REQUEST_UPDATE",
            MessageKind::RequestOk => "REQUEST_OK",
            MessageKind::RequestError => "REQUEST_ERROR",
            MessageKind::Publish => "PUBLISH",
            MessageKind::PublishDone => "PUBLISH_DONE",
            MessageKind::PublishStateNotify => "PUBLISH_STATE_NOTIFY",
            MessageKind::Fetch => "FETCH",
            MessageKind::FetchOk => "FETCH_OK",
            MessageKind::TrackStatus => "TRACK_STATUS",
            MessageKind::PublishNamespace => "PUBLISH_NAMESPACE",
            MessageKind::SubscribeNamespace => "SUBSCRIBE_NAMESPACE",
            MessageKind::SubscribeTracks => "SUBSCRIBE_TRACKS",
            MessageKind::Namespace => "NAMESPACE",
            MessageKind::NamespaceDone => "NAMESPACE_DONE",
            MessageKind::PublishSkipped => "PUBLISH_SKIPPED",
        }
    }
}
