// Package wire is what both ends of the control plane over MQTT 3.1.1 agree on, and what neither
// leaves to its MQTT library: the names of the topics, and the check of each packet's header before
// that library reads it. Devices, the desk and the server use the same.
//
// Topics (all at QoS 1; in and out as a device sees it):
//
//	ratchet/v1/root                     in, retained   the bundle of the trust root
//	ratchet/v1/root/<version>           in, retained   one version of the trust root by itself
//	ratchet/v1/plan/<channel>           in, retained   the campaign plan
//	ratchet/v1/pulse/<channel>          in, retained   whether the plan goes on
//	ratchet/v1/offer/<channel>          in, retained   an envelope for everybody on the channel
//	ratchet/v1/device/<id>/offer        in, retained   an envelope for this device
//	ratchet/v1/device/<id>/resend       in             CBOR uint: evidence again from this number
//	ratchet/v1/device/<id>/status       out, retained  signed snapshot; the newest replaces the older
//	ratchet/v1/device/<id>/evidence     out            one signed record
//	ratchet/v1/device/<id>/report       out, retained  the signed SUIT report of the last update
//	ratchet/v1/device/<id>/presence     out, retained  "online" or "offline" (also the last will); for display only
//
// Nothing here is kept over a power loss.
package wire
