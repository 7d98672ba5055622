// The control of fer_utils.widgets.controls.PhotoPicker: photos come through a button, by dropping them, or from the camera.
// They travel in parts, because Jupyter's servers cut a connection that brings more than 10 MB at once.
const PART = 4 * 1024 * 1024;
const LARGEST = 150 * 1024 * 1024;

const STYLE = `
.fer-picker { border: 2px dashed var(--jp-border-color1, #9e9e9e); border-radius: 6px; padding: 0.8em 1em;
  max-width: 42em; margin: 2px; box-sizing: border-box; color: var(--jp-ui-font-color1, #222); font-family: var(--jp-ui-font-family, sans-serif); }
.fer-picker.over { border-color: var(--jp-brand-color1, #1976d2); background: var(--jp-layout-color2, #eef4fb); }
.fer-picker button { font: inherit; padding: 0.35em 0.9em; margin: 0 0.5em 0.2em 0; cursor: pointer; border-radius: 4px;
  color: inherit; background: var(--jp-layout-color2, #eee); border: 1px solid var(--jp-border-color1, #9e9e9e); }
.fer-picker button:focus-visible { outline: 3px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px; }
.fer-picker button:disabled { opacity: 0.5; cursor: default; }
.fer-picker video { display: block; max-width: 100%; margin: 0.5em 0; transform: scaleX(-1); }
.fer-picker .hint { font-size: 0.9em; }
`;

function button(label, title, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.title = title;
  made.addEventListener("click", action);
  return made;
}

async function send(model, files) {
  model.send({ kind: "begin" });
  // No more than will be used: they would wait in memory on the other side.
  for (const file of files.slice(0, model.get("most"))) {
    if (file.size > LARGEST) {
      model.send({ kind: "too-large", name: file.name });
      continue;
    }
    for (let at = 0; at === 0 || at < file.size; at += PART) {
      const part = await file.slice(at, at + PART).arrayBuffer();
      model.send({ kind: "part", name: file.name, first: at === 0 }, undefined, [new DataView(part)]);
    }
  }
  model.send({ kind: "end", number: files.length });
}

// Shows the camera's picture (mirrored, as people know themselves) until one is taken.
function camera(model, place) {
  const video = document.createElement("video");
  video.muted = true;
  video.setAttribute("aria-label", "what the camera sees");
  let stream = null;
  const stop = () => {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    place.replaceChildren();
  };
  const take = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    stop();
    canvas.toBlob((blob) => send(model, [new File([blob], "camera.jpg")]), "image/jpeg", 0.95);
  };
  const start = async () => {
    stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
    } catch (error) {
      model.send({ kind: "no-camera", reason: error.message });
      return;
    }
    video.srcObject = stream;
    const shutter = button("Take the picture", "Keep what the camera sees now", take);
    place.replaceChildren(video, shutter, button("Cancel", "Switch the camera off", stop));
    await video.play();
    shutter.focus();
  };
  return { start, stop };
}

function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  const zone = document.createElement("div");
  zone.className = "fer-picker";
  zone.setAttribute("role", "group");
  zone.setAttribute("aria-label", "Photos");

  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.accept = "image/*,.heic,.heif";
  input.hidden = true;
  input.addEventListener("change", () => {
    if (input.files.length) send(model, [...input.files]);
    input.value = "";
  });

  const choose = button("Choose photos", "One or several: JPEG, PNG, WebP, HEIC …, up to 50 megapixels each", () => input.click());
  const place = document.createElement("div");
  const cam = camera(model, place);
  const shoot = button("Use the camera", "Take a picture of yourself; it stays on this machine", cam.start);
  // Browsers lend the camera only to pages on this machine or with encryption.
  shoot.hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  const hint = document.createElement("span");
  hint.className = "hint";
  hint.textContent = "or drop them here";
  zone.append(choose, shoot, hint, input, place);

  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length && !model.get("busy")) send(model, files);
  });

  const enable = () => { choose.disabled = shoot.disabled = model.get("busy"); };
  model.on("change:busy", enable);
  enable();
  el.append(style, zone);
  return () => { cam.stop(); model.off("change:busy", enable); };
}

export default { render };
