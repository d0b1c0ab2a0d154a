// A browser starts no worker from a file. Where the site is opened as files, its search runs in a hidden frame instead.
// mkdocs-material's plugin "offline" takes a script of this name from a server of others, if there is none here.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.body.appendChild(document.createElement("iframe"));
      this.frame.hidden = true;
      const inside = this.frame.contentDocument;
      inside.open(); // Firefox would replace the frame's first document later
      inside.write("<!doctype html><title>search</title><body></body>");
      inside.close();
      // What the script says goes to whoever made this worker.
      this.frame.contentWindow.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inside.createElement("script");
      this.loaded = new Promise(resolve => script.addEventListener("load", resolve));
      script.src = url;
      inside.body.appendChild(script);
    }

    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
