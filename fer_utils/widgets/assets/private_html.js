// The view of fer_utils.widgets.controls.PrivateHTML. Its content comes as a message, so it is no part of the widget's state.
function render({ model, el }) {
  if (model.get("status")) {
    el.setAttribute("role", "status");
    el.style.cssText += "; padding: 2px; max-width: 46em; line-height: 1.4; color: var(--jp-ui-font-color1, #222)";
  }
  const show = (message) => {
    if (message.kind === "html") el.innerHTML = message.html;
  };
  model.on("msg:custom", show);
  model.send({ kind: "ready" });
  return () => model.off("msg:custom", show);
}

export default { render };
