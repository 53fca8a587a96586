console.log("hello");
export const App = () => <p>hi</p>;
