// What a Go programmer would write in podrate's place: the least mutating webhook that sigs.k8s.io/controller-runtime allows. It
// decodes the pod, copies the label `peer-rate` into annotations, and lets the library compute the patch; its validation compares the
// two. It reads no policy, parses no rate and keeps no count.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

type stamper struct {
	decoder admission.Decoder
}

const (
	label   = "peer-rate"
	egress  = "peer.podrate.dev/egress"
	ingress = "peer.podrate.dev/ingress"
)

func (s stamper) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := s.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	rate, labelled := pod.Labels[label]
	if !labelled {
		return admission.Allowed("")
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[egress] = rate
	pod.Annotations[ingress] = rate
	changed, err := json.Marshal(pod)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

type validator struct {
	decoder admission.Decoder
}

func (v validator) Handle(_ context.Context, request admission.Request) admission.Response {
	pod := &corev1.Pod{}
	if err := v.decoder.Decode(request, pod); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if rate, labelled := pod.Labels[label]; labelled && (pod.Annotations[egress] != rate || pod.Annotations[ingress] != rate) {
		return admission.Denied("the annotations are not those that the label gives")
	}
	return admission.Allowed("")
}

func main() {
	port := flag.Int("port", 8443, "where to listen")
	certificates := flag.String("tls-dir", "", "directory with tls.crt and tls.key")
	flag.Parse()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		log.Fatal(err)
	}
	server := webhook.NewServer(webhook.Options{Port: *port, CertDir: *certificates})
	decoder := admission.NewDecoder(scheme)
	server.Register("/mutate", &webhook.Admission{Handler: stamper{decoder: decoder}})
	server.Register("/validate", &webhook.Admission{Handler: validator{decoder: decoder}})
	if err := server.Start(ctrl.SetupSignalHandler()); err != nil {
		log.Fatal(err)
	}
}
