//! The tree one would choose with no past: a star as far as the limits allow, deeper only beyond.

use super::grow::attach;
use super::improve::improve;
use super::layout::Layout;
use super::net::Net;
use super::repair::{finish, settle};

pub(super) fn fresh(net: &Net, root: usize) -> Layout {
    let mut layout = Layout::new(net, root);
    if net.is_relay(root) {
        layout.standby = net.standby(root, |_| true);
        if let Some(standby) = layout.standby {
            layout.parent[standby] = Some(root);
        }
    }
    attach(net, &mut layout, &vec![None; net.len()]);
    improve(net, &mut layout);
    finish(net, &mut layout);
    settle(net, &mut layout);
    layout
}
