package activities

// Ends names the two ends of a task, without secrets.
type Ends struct {
	Source                string `json:"source"`      // endpoint part: "gsiftp://host:port" or "user#name"
	Destination           string `json:"destination"` //
	SourceCredential      string `json:"source_credential,omitempty"`
	DestinationCredential string `json:"destination_credential,omitempty"`
	Owner                 string `json:"owner,omitempty"`
}

// End is one end as it was seen at the start.
type End struct {
	Kind       string `json:"kind"`
	Server     string `json:"server,omitempty"`
	StreamOnly bool   `json:"stream_only,omitempty"`
	Sessions   int    `json:"sessions,omitempty"` // limit across workers; 0 is none
	Site       string `json:"site,omitempty"`     // bound to this host: only its workers reach it
}
