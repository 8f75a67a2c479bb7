// Package connect makes connections of what the configuration says: to the broker, to image servers, through a proxy.
// Nothing is dialled and no secret read before it is needed.
//
// `ratchet net` connects with it, by the settings that the daemon sends it; the daemon only makes sure that they make
// sense, and connects to nobody.
package connect
