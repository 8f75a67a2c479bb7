package control

// Decode, Receive and Right are the decoder of the request line, the receiver of descriptors, and the
// verb table's judgement, for tests.
var (
	Receive = receive
)

// Decode decodes and checks a request line as the server does.
func Decode(line []byte, files int) (Request, error) {
	w, err := decode(line)
	if err != nil {
		return Request{}, err
	}
	r := Request{Verb: w.Verb, Args: w.Args}
	for range files {
		r.Files = append(r.Files, nil)
	}
	_, err = r.check()
	return r, err
}

// Right is the right of a peer.
func (a Access) Right(p Peer) Right { return a.right(p) }

// PeerGroups asks the kernel for the supplementary groups of the peer of a socket.
var PeerGroups = peerGroups

// ReadWithin is the deadline of a request.
const ReadWithin = readWithin
