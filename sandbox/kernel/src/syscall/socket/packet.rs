//! AF_PACKET, packet(7): frames of the pod's network as they are, for guests with CAP_NET_RAW.
//!
//! Sockets of `SOCK_RAW` and `SOCK_DGRAM` are the host's, like those of raw packets of IP. Of their options only flags and counters
//! exist: rings in shared memory, fan-out, headers of virtio and further sends past the queue are where the host kernel's
//! defects of this family have been, and nothing here may turn them on.

/// `SOL_PACKET`, linux/socket.h.
pub(super) const SOL_PACKET: u32 = 263;

/// linux/if_packet.h: `PACKET_AUXDATA`, `PACKET_ORIGDEV` and `PACKET_IGNORE_OUTGOING`, all of them on or off.
const FLAGS: &[u32] = &[8, 9, 23];
const PACKET_STATISTICS: u32 = 6;

pub(super) fn may_set(name: u32) -> bool {
    FLAGS.contains(&name)
}

pub(super) fn may_ask(name: u32) -> bool {
    name == PACKET_STATISTICS || may_set(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_maps_memory_or_shares_packets_out() {
        /// PACKET_RX_RING, PACKET_COPY_THRESH, PACKET_VERSION, PACKET_HDRLEN, PACKET_RESERVE, PACKET_TX_RING, PACKET_LOSS,
        /// PACKET_VNET_HDR, PACKET_TX_TIMESTAMP, PACKET_TIMESTAMP, PACKET_FANOUT, PACKET_TX_HAS_OFF, PACKET_QDISC_BYPASS,
        /// PACKET_ROLLOVER_STATS, PACKET_FANOUT_DATA, PACKET_VNET_HDR_SZ.
        const DANGEROUS: &[u32] = &[5, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24];
        for name in DANGEROUS {
            assert!(!may_set(*name) && !may_ask(*name), "{name}");
        }
    }
}
